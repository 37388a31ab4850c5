import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import type { Answer } from "../support/client.ts";
import { password, registration } from "../support/people.ts";
import { startService, type TestStand } from "../support/service.ts";
import { said, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const send = (method: string, path: string, headers: Record<string, string> = {}, raw?: string) =>
  stand.client().request(method, path, { headers, ...(raw !== undefined && { raw }) });
const asJson = { "content-type": "application/json" };
const customers = "/api/v1/users/customers/";
const errorOf = (code: string) => ({ detail: expect.stringMatching(/^.+$/), code });

const everywhere = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};
const headersOf = (answer: Answer) =>
  Object.fromEntries(Object.keys(everywhere).map((name) => [name, answer.headers.get(name)]));

/** One request that ends in each way, by name. */
const requests: Record<string, () => Promise<Answer>> = {
  "200": () => stand.client().get("/health/live"),
  "201": () => stand.client().post(customers, registration()),
  "204": () => send("OPTIONS", customers),
  "400 fields": () => stand.client().post(customers, {}),
  "400 JSON": () => send("POST", customers, asJson, "{"),
  "400 URL": () => stand.client().get("/api/v1/users/%zz/"),
  "401": () => stand.client().get("/api/v1/users/current/"),
  "403": async () => (await signUp(stand)).client.get("/api/v1/users/"),
  "403 foreign": () => send("POST", customers, { ...asJson, origin: "https://evil.example" }, "{}"),
  "404": () => stand.client().get("/nothing/here/"),
  "405": () => send("DELETE", customers),
  "413": () => send("POST", customers, asJson, `{"x":"${"x".repeat(20_000)}"}`),
  "415": () => send("POST", customers, { "content-type": "text/plain" }, "{}"),
};

describe("every answer", () => {
  test.each(Object.keys(requests))("%s: security headers, a request id, no product name, a charset", async (name) => {
    const answer = await requests[name]!();
    expect(answer.status).toBe(Number(name.slice(0, 3)));
    expect(headersOf(answer)).toEqual(everywhere);
    expect(answer.headers.get("vary")).toMatch(/\bOrigin\b/);
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    for (const leak of ["server", "x-powered-by"]) expect(answer.headers.get(leak)).toBeNull();
    if (name !== "204") expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(answer.headers.get("strict-transport-security")).toBeNull();
  });

  test("over https: HSTS for a year, subdomains too, on errors as well", async () => {
    const https = { WEB_APP_PROTOCOL: "https", PUBLIC_URL: "https://id.example.com" };
    const service = await startService({ ...https, THROTTLE_PER_IP: "1" });
    const signIn = () => service.client().post("/api/v1/tokens/", { email: "nobody@example.com", password });
    const big = { headers: asJson, raw: `{"x":"${"x".repeat(20_000)}"}` };
    try {
      const answers = [
        ...(await Promise.all(
          ["/health/live", "/nothing", "/api/v1/users/current/"].map((p) => service.client().get(p)),
        )),
        await service.client().request("POST", customers, big),
        await signIn(),
        await signIn(),
      ];
      await service.query("alter table users rename to users_away");
      answers.push(await service.client().post(customers, registration()));
      expect(answers.map(({ status }) => status)).toEqual([200, 404, 401, 413, 401, 429, 500]);
      for (const { headers } of answers) {
        expect(headers.get("strict-transport-security")).toBe("max-age=31536000; includeSubDomains");
      }
    } finally {
      await service.stop();
    }
  });

  test("no secret in any body", async () => {
    const { client, id } = await signUp(stand, "MO");
    const [row] = await stand.query<{ hash: string }>("select password_hash as hash from users where id = $1", [id]);
    const refreshed = await client.post("/api/v1/tokens/refresh/");
    const secrets = [row?.hash, client.cookie("access_token"), client.cookie("refresh_token"), password];
    const answers = [
      refreshed,
      ...(await Promise.all(["current/", `${id}/`, ""].map((p) => client.get(`/api/v1/users/${p}`)))),
    ];
    for (const { text } of answers) {
      for (const secret of secrets) expect(text).not.toContain(secret);
      expect(text).not.toMatch(/password|hash|epoch|version|canonical|staff/i);
    }
  });
});

describe("errors: exactly detail and code", () => {
  test.each([
    ["no such path", "GET", "/api/v1/nothing/", {}, undefined, 404, "not_found"],
    ["the root", "GET", "/", {}, undefined, 404, "not_found"],
    ["broken JSON", "POST", customers, asJson, "{", 400, "malformed_body"],
    ["an array for a body", "POST", customers, asJson, "[]", 400, "malformed_body"],
    ["a string for a body", "POST", customers, asJson, '"x"', 400, "malformed_body"],
    ["null for a body", "POST", customers, asJson, "null", 400, "malformed_body"],
    ["a broken URL", "GET", "/api/v1/users/%zz/", {}, undefined, 400, "malformed_request"],
    ["text", "POST", customers, { "content-type": "text/plain" }, "{}", 415, "unsupported_media_type"],
    ["no type", "POST", customers, { "content-type": "" }, "{}", 415, "unsupported_media_type"],
    ["XML", "POST", customers, { "content-type": "application/xml" }, "<a/>", 415, "unsupported_media_type"],
    [
      "a form",
      "POST",
      "/api/v1/tokens/",
      { "content-type": "application/x-www-form-urlencoded" },
      "email=a%40example.com&password=x",
      415,
      "unsupported_media_type",
    ],
    [
      "multipart",
      "POST",
      "/api/v1/tokens/",
      { "content-type": "multipart/form-data; boundary=x" },
      "--x--",
      415,
      "unsupported_media_type",
    ],
  ] as const)("%s", async (_, method, path, headers, raw, status, code) => {
    expect(said(await send(method, path, headers, raw))).toEqual([status, errorOf(code)]);
  });

  test.each([
    [customers, "POST"],
    ["/api/v1/users/", "GET"],
    ["/api/v1/users/current/", "GET, PATCH, PUT"],
    ["/api/v1/users/1/", "GET, PATCH, PUT"],
    ["/api/v1/users/current/send-activation/", "GET"],
    ["/api/v1/users/MQ/verify/x/", "GET, POST"],
    ["/api/v1/tokens/", "POST"],
    ["/api/v1/tokens/refresh/", "POST"],
    ["/api/v1/tokens/clear", "POST"],
    ["/openapi.json", "GET"],
  ])("%s: every other method is 405 and says which there are", async (path, allowed) => {
    const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "PROPFIND", "SEARCH"];
    for (const method of methods.filter((one) => !allowed.split(", ").includes(one))) {
      const answer = await send(method, path);
      expect([method, answer.status]).toEqual([method, 405]);
      expect(answer.headers.get("allow")?.split(", ").toSorted().join(", ")).toBe(allowed);
      if (method !== "HEAD") expect(answer.json()).toEqual(errorOf("method_not_allowed"));
    }
  });

  test("a method that an override header names: not run", async () => {
    const { client } = await signUp(stand);
    const headers = { "x-http-method-override": "PATCH", "x-method-override": "PATCH" };
    const answer = await client.get("/api/v1/users/current/?_method=PATCH", { headers });
    expect([answer.status, answer.json()["user_profile"]]).toEqual([
      200,
      expect.objectContaining({ first_name: "Anna" }),
    ]);
  });

  test("a body 10,000 levels deep: answered, and the service lives on", async () => {
    const raw = `{"email":${"[".repeat(8000)}${"]".repeat(8000)}}`;
    expect((await send("POST", customers, asJson, raw)).status).toBe(400);
    expect((await stand.client().get("/health/live")).status).toBe(200);
  });

  test("what is no HTTP gets no more than a refusal", async () => {
    const text = await new Promise<string>((resolve, reject) => {
      let answer = "";
      const socket = connect(Number(new URL(stand.url).port), "127.0.0.1", () =>
        socket.write("NOTHING AT ALL\r\n\r\n"),
      );
      socket.on("data", (bytes) => (answer += bytes.toString())).on("close", () => resolve(answer));
      socket.on("error", reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).not.toMatch(/fastify|node|stack|HPE_/i);
  });
});

describe("request ids", () => {
  test.each(["a", "0123456789-abcdefABCDEF", "x".repeat(64)])("%s: echoed", async (id) => {
    expect((await send("GET", "/nothing", { "x-request-id": id })).headers.get("x-request-id")).toBe(id);
  });
  test.each(["x".repeat(65), "a b", "a_b", "é", '{"a":1}', "a\tb", "..", "a;b", ""])("%j: another one", async (id) => {
    const answer = await send("GET", "/nothing", { "x-request-id": id });
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  });
});

describe("a slash at the end is optional", () => {
  test.each(["/api/v1/users/current", "/api/v1/users/current/", "/api/v1/users/1", "/api/v1/users", "/docs"])(
    "%s: served, and never a redirect",
    async (path) => {
      const { client } = await signUp(stand, "MO");
      expect((await client.get(path)).status).toBe(200);
    },
  );
});
