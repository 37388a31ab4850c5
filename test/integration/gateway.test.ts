import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";

/** The gateway in this process, end to end; every detail of the contract is in test/contract, against a process of its own. */
let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const current = "/api/v1/users/current/";
const form = (fields: Record<string, string>) => ({
  headers: { "content-type": "application/x-www-form-urlencoded" },
  raw: new URLSearchParams(fields).toString(),
});
async function signUp(): Promise<{ client: Client; email: string; link: string; id: number }> {
  const client = service.client();
  const body = registration();
  const answer = await client.post("/api/v1/users/customers/", body);
  return { client, email: body.email, id: Number(answer.json()["id"]), link: linkIn(await service.mailTo(body.email)) };
}
const verified = async (id: number) =>
  (await service.query<{ v: boolean }>("select is_email_verified as v from users where id = $1", [id]))[0]?.v;

describe("what never becomes a request", () => {
  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      let answer = "";
      const socket = connect(Number(new URL(service.url).port), "127.0.0.1", () => socket.write(text));
      socket.on("data", (bytes) => (answer += bytes.toString())).on("close", () => resolve(answer));
      socket.on("error", reject);
    });

  test.each([
    ["no HTTP", "NOTHING AT ALL\r\n\r\n", "400 Bad Request"],
    [
      "two lengths",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "400 Bad Request",
    ],
    [
      "20 KB of headers",
      `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(20_000)}\r\n\r\n`,
      "431 Request Header Fields Too Large",
    ],
  ])("%s: a refusal in our words, and the end of the connection", async (_, text, status) => {
    const answer = await raw(text);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status}\r\n`));
    expect(answer).toContain('"code":"malformed_request"');
  });
});

describe("rules for every route", () => {
  test("a preflight is answered for an allowed origin and runs nothing; for others it allows nothing", async () => {
    const ask = (origin: string) =>
      service.client().request("OPTIONS", "/api/v1/tokens/", {
        headers: { origin, "access-control-request-method": "POST" },
      });
    const ours = await ask("http://localhost:3000");
    expect([ours.status, ours.headers.get("access-control-allow-origin")]).toEqual([204, "http://localhost:3000"]);
    expect((await ask("https://evil.example")).headers.get("access-control-allow-origin")).toBeNull();
  });

  test.each([
    [
      "a foreign page",
      { "content-type": "application/json", "sec-fetch-site": "cross-site" },
      403,
      "cross_site_request",
    ],
    [
      "a compressed body",
      { "content-type": "application/json", "content-encoding": "gzip" },
      415,
      "unsupported_media_type",
    ],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }, 415, "unsupported_media_type"],
    ["text", { "content-type": "text/plain" }, 415, "unsupported_media_type"],
    ["broken JSON", { "content-type": "application/json" }, 400, "malformed_body"],
  ])("%s: refused", async (_, headers, status, code) => {
    const answer = await service.client().request("POST", "/api/v1/tokens/", { headers, raw: '{"email":' });
    expect([answer.status, answer.json()["code"]]).toEqual([status, code]);
  });

  test.each(["HEAD", "DELETE", "PUT"])("%s of a path that has other methods: 405, which says which", async (method) => {
    const { status, headers } = await service.client().request(method, "/api/v1/tokens/");
    expect([status, headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("a URL that cannot be decoded: 400 with all headers", async () => {
    const { status, headers } = await service.client().get("/api/v1/users/%zz/");
    expect([status, headers.get("x-content-type-options"), headers.get("x-request-id")]).toEqual([
      400,
      "nosniff",
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ]);
  });

  test("pages, documents and pictures are there, each with its type", async () => {
    const types = {
      "/openapi.json": "application/json; charset=utf-8",
      "/docs/": "text/html; charset=utf-8",
      "/docs/start.js": "text/javascript; charset=utf-8",
      "/docs/swagger-ui.css": "text/css; charset=utf-8",
      "/media/default-avatar.svg": "image/svg+xml",
      "/dev/mailbox/": "text/html; charset=utf-8",
      "/dev/mailbox.json": "application/json; charset=utf-8",
      "/health/live": "application/json; charset=utf-8",
      "/health/ready": "application/json; charset=utf-8",
    };
    const seen = await Promise.all(
      Object.keys(types).map(async (path) => [path, (await service.client().get(path)).headers.get("content-type")]),
    );
    expect(Object.fromEntries(seen)).toEqual(types);
  });
});

describe("a verification link in a browser", () => {
  test("with the account's session the button is enough", async () => {
    const { client, link, id } = await signUp();
    expect((await client.get(link)).text).toContain("Confirm that this is your e-mail address");
    expect((await client.request("POST", link)).status).toBe(200);
    expect(await verified(id)).toBe(true);
    expect((await client.request("POST", link)).status).toBe(400);
  });

  test("without it the password is asked for, and a wrong one asks again", async () => {
    const { link, id } = await signUp();
    const wrong = await service.client().request("POST", link, form({ password: "something else" }));
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("The password is not right.")]);
    expect(await verified(id)).toBe(false);
    expect((await service.client().request("POST", link, form({ password }))).status).toBe(200);
    expect(await verified(id)).toBe(true);
  });

  test("who did not register sets a password: nobody else stays in", async () => {
    const { client, email, link, id } = await signUp();
    const new_password = "my own password";
    expect((await service.client().request("POST", link, form({ new_password: "short" }))).status).toBe(400);
    expect((await service.client().request("POST", link, form({ new_password }))).status).toBe(200);
    expect([await verified(id), (await client.get(current)).status]).toEqual([true, 401]);
    const signIn = (chosen: string) => service.client().post("/api/v1/tokens/", { email, password: chosen });
    expect([(await signIn(password)).status, (await signIn(new_password)).status]).toEqual([401, 200]);
  });

  test("of an account that does not exist: 404, as a page and as JSON", async () => {
    const { link } = await signUp();
    const foreign = link.replace(/users\/[^/]+/, "users/OTk5OTk5");
    expect((await service.client().request("POST", foreign)).status).toBe(404);
    expect((await service.client().get(foreign, { headers: { accept: "application/json" } })).status).toBe(404);
  });
});

describe("an account's own changes", () => {
  test("the link can be mailed again until the address is verified", async () => {
    const { client, email, link } = await signUp();
    expect((await client.get(`${current}send-activation/`)).status).toBe(200);
    const second = linkIn(await service.mailTo(email, 2));
    expect((await client.request("POST", link)).status).toBe(400);
    expect((await client.request("POST", second)).status).toBe(200);
    expect((await client.get(`${current}send-activation/`)).json()["code"]).toBe("email_already_verified");
  });

  test("a new address: wrong password, request, confirmation, and back again", async () => {
    const { client, email } = await signUp();
    const to = uniqueEmail("new");
    const patch = (body: object) => client.request("PATCH", current, { body });
    expect((await patch({ email: to })).status).toBe(400);
    expect((await patch({ email: to, current_password: "something else" })).status).toBe(400);
    expect((await patch({ email: "no address", user_profile: { phone: "1" } })).json()).toEqual({
      email: ["Enter a valid email address."],
      user_profile: { phone: ["Enter a valid phone number."] },
    });
    expect((await patch({ email: to, current_password: password })).json()).toMatchObject({ email, pending_email: to });
    const linkOf = (name: string, text: string) =>
      new URL(new RegExp(`https?://\\S+/${name}/\\S+`).exec(text)?.[0] ?? "").pathname;
    const confirm = linkOf("confirm-email", (await service.mailTo(to)).text);
    const undo = linkOf("undo-email", (await service.mailTo(email, 2)).text);
    expect((await client.get(confirm)).text).toContain("From now on your account uses this address.");
    expect((await client.request("POST", confirm)).status).toBe(200);
    expect((await client.get(current)).json()).toMatchObject({
      email: to,
      pending_email: null,
      is_email_verified: true,
    });
    expect((await client.get(undo)).text).toContain('name="new_password"');
    expect((await client.request("POST", undo)).status).toBe(400);
    expect((await client.request("POST", undo, form({ new_password: "my own password" }))).status).toBe(200);
    expect((await client.get(current)).status).toBe(401);
    const back = await service.client().post("/api/v1/tokens/", { email, password: "my own password" });
    expect(back.status).toBe(200);
    expect((await client.request("POST", confirm.replace(/users\/[^/]+/, "users/OTk5OTk5"))).status).toBe(404);
  });
});

describe("moderation", () => {
  test("every part of an account at once, lists, search and the last moderator", async () => {
    const [{ client, email, id }, { id: other }] = [await signUp(), await signUp()];
    // So that there is a second page, in whatever order the tests run.
    await signUp();
    await service.query("update users set role = 'MO', is_email_verified = true where id = $1", [id]);
    await client.post("/api/v1/tokens/", { email, password });
    const to = uniqueEmail("moved");
    const body = {
      email: to,
      role: "CO",
      is_active: false,
      is_email_verified: true,
      user_profile: { first_name: "Zoë", last_name: "Żak", phone: "+48600700800", birth_date: "1980-01-01" },
    };
    const changed = await client.request("PUT", `/api/v1/users/${other}/`, { body });
    expect(changed.json()).toMatchObject({ ...body, id: other });
    for (const query of [
      "search=%C5%BCak&is_active=false",
      "role=co&is_active=false&is_email_verified=true",
      "search=%2B48%20600-700",
    ]) {
      expect((await client.get(`/api/v1/users/?limit=1&${query}`)).text).toContain(to);
    }
    const first = await client.get("/api/v1/users/?limit=1");
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    expect((await client.get(next)).status).toBe(200);
    expect((await client.get("/api/v1/users/?after=forged")).json()["code"]).toBe("invalid_cursor");
    const back = await client.request("PATCH", `/api/v1/users/${other}/`, {
      body: { is_active: true, is_email_verified: false },
    });
    expect(back.json()).toMatchObject({ is_active: true, is_email_verified: false });
    const resign = await client.request("PATCH", `/api/v1/users/${id}/`, { body: { role: "CU" } });
    expect([resign.status, resign.json()["code"]]).toEqual([409, "last_moderator"]);
    expect((await client.request("PATCH", "/api/v1/users/999999/", { body: {} })).status).toBe(404);
    expect((await client.get(`/api/v1/users/${other}/`)).json()).toHaveProperty("email");
    expect((await service.client().get(`/api/v1/users/${other}/`)).json()).not.toHaveProperty("email");
    expect((await service.client().get("/api/v1/users/999999/")).status).toBe(404);
    expect((await client.post("/api/v1/users/moderators/", registration())).json()).toMatchObject({ role: "MO" });
  });
});
