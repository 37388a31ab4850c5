import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Answer } from "../support/client.ts";
import { password, registration } from "../support/people.ts";
import { startService, type TestStand } from "../support/service.ts";
import { said, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

const app = "https://app.example.com";
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand({ CORS_ORIGINS: `${app},http://localhost:3000` });
});
afterAll(() => stand.stop());

const customers = "/api/v1/users/customers/";
const send = (method: string, path: string, headers: Record<string, string>) =>
  stand.client().request(method, path, { headers });

describe("CORS", () => {
  const credentials = (answer: Answer) => [
    answer.headers.get("access-control-allow-origin"),
    answer.headers.get("access-control-allow-credentials"),
  ];

  test.each([app, "http://localhost:3000"])("%s is on the list: allowed, on errors as well", async (origin) => {
    for (const path of ["/health/live", "/nothing", "/api/v1/users/current/"]) {
      expect(credentials(await send("GET", path, { origin }))).toEqual([origin, "true"]);
    }
  });

  test.each([
    "https://app.example.co",
    "https://app.example.com.evil.example",
    "https://app.example.comx",
    "https://evil.example/https://app.example.com",
    "https://xapp.example.com",
    "https://sub.app.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "HTTPS://APP.EXAMPLE.COM",
    "https://app.example.com/",
    "http://localhost:3001",
    "http://127.0.0.1:3000",
    "null",
    "*",
    "",
  ])("%j is not: no header lets it read", async (origin) => {
    for (const method of ["GET", "OPTIONS"]) {
      expect(credentials(await send(method, "/api/v1/users/current/", { origin }))).toEqual([null, null]);
    }
  });

  test.each([
    ["POST", customers],
    ["PATCH", "/api/v1/users/current/"],
    ["POST", "/api/v1/tokens/clear/"],
    ["GET", "/api/v1/users/current/send-activation/"],
    ["POST", "/nothing"],
  ])("a preflight for %s %s: answered, and nothing is run", async (method, path) => {
    const { client, id } = await signUp(stand);
    const before = await stand.query("select * from sessions where user_id = $1", [id]);
    const answer = await client.request("OPTIONS", path, {
      headers: {
        origin: app,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type, x-csrftoken",
      },
    });
    expect([answer.status, answer.text]).toEqual([204, ""]);
    expect(answer.headers.get("access-control-allow-methods")?.split(", ")).toEqual(
      expect.arrayContaining(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    );
    const headers = answer.headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
    expect(headers).toEqual(expect.arrayContaining(["content-type", "authorization", "x-csrftoken"]));
    expect(await stand.query("select * from sessions where user_id = $1", [id])).toEqual(before);
    expect(await stand.query("select 1 from mails where user_id = $1", [id])).toHaveLength(1);
  });

  test("an allowed page may read what the contract tells in headers", async () => {
    const { headers } = await send("GET", "/health/live", { origin: app });
    const exposed = headers.get("access-control-expose-headers")?.toLowerCase().split(/, */) ?? [];
    expect(exposed).toEqual(expect.arrayContaining(["link", "retry-after", "x-request-id"]));
  });

  test("development: any origin of this machine, and no other", async () => {
    const service = await startService();
    try {
      const asked = async (origin: string) =>
        credentials(await service.client().get("/health/live", { headers: { origin } }))[0];
      for (const origin of ["http://localhost:5173", "http://127.0.0.1:1", "http://[::1]:3000", "https://localhost"]) {
        expect(await asked(origin)).toBe(origin);
      }
      for (const origin of [
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://127.0.0.1.nip.io",
        "null",
      ]) {
        expect(await asked(origin)).toBeNull();
      }
    } finally {
      await service.stop();
    }
  });
});

describe("requests from foreign pages", () => {
  const foreign: [string, Record<string, string>][] = [
    ["Sec-Fetch-Site: cross-site", { "sec-fetch-site": "cross-site" }],
    ["same-site, with no Origin", { "sec-fetch-site": "same-site" }],
    ["a foreign Origin", { origin: "https://evil.example" }],
    ["Origin: null", { origin: "null" }],
    ["both", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }],
    ["an unknown word", { "sec-fetch-site": "whatever" }],
  ];
  test.each(foreign)(
    "%s: every state change is 403, with cookies or without, and nothing happens",
    async (_, headers) => {
      const person = await signUp(stand, "MO");
      const rows = () =>
        stand.query("select u.*, (select count(*) from users) from users u where id = $1", [person.id]);
      const before = await rows();
      const changes: [string, string, unknown][] = [
        ["POST", customers, registration()],
        ["POST", "/api/v1/users/moderators/", registration()],
        ["PATCH", "/api/v1/users/current/", { user_profile: { first_name: "Evil" } }],
        ["PUT", "/api/v1/users/current/", {}],
        ["PATCH", `/api/v1/users/${person.id}/`, { role: "CU" }],
        ["POST", "/api/v1/tokens/", { email: person.email, password }],
        ["POST", "/api/v1/tokens/refresh/", undefined],
        ["POST", "/api/v1/tokens/clear/", undefined],
      ];
      for (const [method, path, body] of changes) {
        const answer = await person.client.request(method, path, { headers, ...(body !== undefined && { body }) });
        expect([path, ...said(answer)]).toEqual([
          path,
          403,
          { detail: expect.stringMatching(/^.+$/), code: "cross_site_request" },
        ]);
        expect(answer.headers.getSetCookie()).toEqual([]);
      }
      expect(await rows()).toEqual(before);
      expect((await person.client.get("/api/v1/users/current/")).status).toBe(200);
    },
  );

  test.each(foreign)("%s: no mail is sent by a GET either", async (_, headers) => {
    const { client, id } = await signUp(stand);
    const answer = await client.get("/api/v1/users/current/send-activation/", { headers });
    expect(said(answer)).toEqual([403, { detail: expect.any(String), code: "cross_site_request" }]);
    expect(await stand.query("select 1 from mails where user_id = $1", [id])).toHaveLength(1);
  });

  test.each([
    ["our own page", { "sec-fetch-site": "same-origin" }],
    ["typed by a person", { "sec-fetch-site": "none" }],
    ["an origin on the list", { origin: app, "sec-fetch-site": "cross-site" }],
    ["no browser", {}],
  ])("%s: allowed", async (_, headers) => {
    const { client } = await signUp(stand);
    const body = { user_profile: { first_name: "Ewa" } };
    expect((await client.request("PATCH", "/api/v1/users/current/", { headers, body })).status).toBe(200);
  });

  test("a foreign Host or forwarded headers never come into a mailed link", async () => {
    const body = registration();
    const headers = {
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      forwarded: "host=evil.example",
    };
    await stand.client().post(customers, body, { headers });
    const mail = await stand.mailTo(body.email);
    expect(`${mail.text}${mail.html}`).not.toContain("evil.example");
    expect(mail.text).toContain(`${stand.url}/api/v1/users/`);
  });
});
