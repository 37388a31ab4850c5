import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { registration } from "../support/people.ts";
import type { Answer } from "../support/client.ts";
import type { TestStand } from "../support/service.ts";
import { signUp } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";

/** SECURITY.md, 68 and 69: which pages may read an answer. What foreign ones may change: test/contract/rest-origins.test.ts. */
const app = "https://app.example.com";
let stand: TestStand;
let development: TestStand;
beforeAll(async () => {
  [stand, development] = await Promise.all([
    startStand({ CORS_ORIGINS: `${app},http://localhost:3000` }),
    startStand(),
  ]);
});
afterAll(() => Promise.all([stand.stop(), development.stop()]));

const send = (method: string, path: string, headers: Record<string, string>) =>
  stand.client().request(method, path, { headers });
const credentials = (answer: Answer) => [
  answer.headers.get("access-control-allow-origin"),
  answer.headers.get("access-control-allow-credentials"),
];

/** An answer of each kind: good, nobody there, not signed in, a wrong method, a picture that may be kept, a preflight. */
const kinds: readonly [string, string][] = [
  ["GET", "/health/live"],
  ["GET", "/nothing"],
  ["GET", "/api/v1/users/current/"],
  ["PUT", "/health/live"],
  ["GET", "/media/default-avatar.svg"],
  ["POST", "/api/v1/tokens/"],
  ["OPTIONS", "/api/v1/users/current/"],
];

describe("69 3.4.2 a page at", () => {
  test.each([app, "http://localhost:3000"])("%s is on the list: allowed, on errors as well", async (origin) => {
    for (const [method, path] of kinds) {
      expect([path, credentials(await send(method, path, { origin }))]).toEqual([path, [origin, "true"]]);
    }
  });

  test.each([
    ["a prefix of it", "https://app.example.co"],
    ["a prefix without its port", "http://localhost"],
    ["a prefix with less of its port", "http://localhost:300"],
    ["it with more behind", "https://app.example.com.evil.example"],
    ["it with a letter more", "https://app.example.comx"],
    ["it in a path", "https://evil.example/https://app.example.com"],
    ["it with a letter before", "https://xapp.example.com"],
    ["a domain below it", "https://sub.app.example.com"],
    ["the domain above it", "https://example.com"],
    ["a letter for its dot", "https://appxexample.com"],
    ["it as a user", "https://app.example.com@evil.example"],
    ["it with a user", "https://evil@app.example.com"],
    ["it before an encoded NUL", "https://app.example.com%00.evil.example"],
    ["its name with a dot at the end", "https://app.example.com."],
    ["it in another letter that looks the same", "https://\u0430pp.example.com"],
    ["another protocol", "http://app.example.com"],
    ["a protocol of its own", "evil://app.example.com"],
    ["another port", "https://app.example.com:8443"],
    ["its port spelled out", "https://app.example.com:443"],
    ["capitals", "HTTPS://APP.EXAMPLE.COM"],
    ["one capital", "https://App.example.com"],
    ["a slash", "https://app.example.com/"],
    ["both of the list", "https://app.example.com,http://localhost:3000"],
    ["two", "https://app.example.com https://evil.example"],
    ["another port of this machine", "http://localhost:3001"],
    ["another name of this machine", "http://127.0.0.1:3000"],
    ["a sandbox or a file", "null"],
    ["a file", "file://"],
    ["any", "*"],
    ["nowhere", ""],
  ])("%s (%j) is not: no header lets it read", async (_, text) => {
    // As bytes: a header holds no other letters.
    const origin = Buffer.from(text, "utf8").toString("latin1");
    for (const [method, path] of kinds) {
      const answer = await send(method, path, { origin });
      expect([path, credentials(answer)]).toEqual([path, [null, null]]);
      // What is kept for one origin must not be shown to another.
      expect([path, answer.headers.get("vary")]).toEqual([path, "Origin"]);
    }
  });

  test("an allowed page may read what the contract tells in headers", async () => {
    const { headers } = await send("GET", "/health/live", { origin: app });
    const exposed = headers.get("access-control-expose-headers")?.toLowerCase().split(/, */) ?? [];
    expect(exposed).toEqual(expect.arrayContaining(["link", "retry-after", "x-request-id"]));
  });

  test("development: any port of this machine, and nothing else", async () => {
    const asked = async (origin: string) =>
      credentials(await development.client().get("/health/live", { headers: { origin } }))[0];
    for (const origin of ["http://localhost:5173", "http://127.0.0.1:1", "http://[::1]:3000", "https://localhost"]) {
      expect(await asked(origin)).toBe(origin);
    }
    for (const origin of [
      ...["http://localhost.evil.example", "http://localhost@evil.example", "http://evil.example#localhost"],
      ...["http://127.0.0.1.nip.io", "http://0.0.0.0:3000", "http://[::2]", "http://xlocalhost", "null", "localhost"],
    ]) {
      expect([origin, await asked(origin)]).toEqual([origin, null]);
    }
  });
});

test.each([
  ["POST", "/api/v1/users/customers/"],
  ["PATCH", "/api/v1/users/current/"],
  ["POST", "/api/v1/tokens/clear/"],
  ["GET", "/api/v1/users/current/send-activation/"],
  ["POST", "/nothing"],
])("68 a preflight of an allowed page for %s %s: says what it may send, and nothing is run", async (method, path) => {
  const { client, id } = await signUp(stand);
  const rows = () => stand.query("select s.*, (select count(*) from users) from sessions s where user_id = $1", [id]);
  const before = await rows();
  const answer = await client.request("OPTIONS", path, {
    headers: {
      origin: app,
      "access-control-request-method": method,
      "access-control-request-headers": "content-type, x-csrftoken",
    },
    body: registration(),
  });
  expect([answer.status, answer.text]).toEqual([204, ""]);
  const listed = (name: string) => answer.headers.get(name)?.toLowerCase().split(", ");
  expect(listed("access-control-allow-methods")).toEqual(
    expect.arrayContaining(["get", "post", "put", "patch", "delete"]),
  );
  expect(listed("access-control-allow-headers")).toEqual(
    expect.arrayContaining(["content-type", "authorization", "x-csrftoken"]),
  );
  expect(await rows()).toEqual(before);
  expect(await stand.query("select 1 from mails where user_id = $1", [id])).toHaveLength(1);
});
