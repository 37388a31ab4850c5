import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { password, registration } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { said, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

const app = "https://app.example.com";
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand({ CORS_ORIGINS: `${app},http://localhost:3000` });
});
afterAll(() => stand.stop());

const customers = "/api/v1/users/customers/";
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
