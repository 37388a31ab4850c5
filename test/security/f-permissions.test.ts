import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { permissions, type Permission } from "../../services/api-gateway/permissions.ts";
import {
  auditFields,
  bearer,
  fieldsOf,
  fullViewFields,
  publicViewFields,
  resetRequestsFollowedUp,
  sessionFields,
  signUp,
  submitForm,
  type Person,
  type Role,
} from "../contract/accounts.ts";
import { sampleOf, stateOf } from "../contract/route-samples.ts";
import { startStand } from "../contract/stand.ts";
import type { Answer } from "../support/client.ts";
import { linkIn, type TestStand } from "../support/service.ts";

/** SECURITY.md, F: who may what on every route, by the table of the gateway. Which fields: test/contract/permissions.test.ts. */
const app = "https://app.example.com";
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand({ CORS_ORIGINS: app });
  // Never the last one: whatever happens to the moderators of single tests is then allowed.
  await signUp(stand, "MO");
});
afterAll(() => stand.stop());

/** Who calls. Where a route is about an account, `owner` tells whose it is; `token` is shown without being anybody's. */
const callers: Record<string, { make?: () => Promise<Person>; owner?: "self" | "other"; token?: string }> = {
  anonymous: {},
  "nobody, with a token that is none": { token: "a.b.c" },
  unverified: { make: () => signUp(stand) },
  customer: { make: () => signUp(stand, "CU", { verified: true }), owner: "self" },
  courier: { make: () => signUp(stand, "CO", { verified: true }), owner: "self" },
  manager: { make: () => signUp(stand, "RM", { verified: true }), owner: "self" },
  moderator: { make: () => signUp(stand, "MO") },
  "another user": { make: () => signUp(stand, "CU", { verified: true }), owner: "other" },
  inactive: { make: () => inactive("CU"), owner: "self" },
  "inactive moderator": { make: () => inactive("MO") },
  "unverified moderator": { make: () => signUp(stand, "MO", { verified: false }) },
  "signed-out moderator": { make: () => signedOut("MO") },
};
async function inactive(role: Role): Promise<Person> {
  const person = await signUp(stand, role, { verified: true });
  await stand.query("update users set is_active = false where id = $1", [person.id]);
  return person;
}
async function signedOut(role: Role): Promise<Person> {
  const person = await signUp(stand, role, { verified: true });
  const away = stand.client();
  for (const [name, cookie] of person.client.cookies) away.cookies.set(name, cookie);
  expect((await away.post("/api/v1/tokens/clear/")).status).toBe(200);
  return person;
}

/** What must come of it, by the word in the table. */
function expected({ who }: Permission, caller: string): "allowed" | readonly [number, string] {
  if (who === "anyone") return "allowed";
  if (caller === "anonymous") return [401, "not_authenticated"];
  if (caller.startsWith("nobody")) return [401, "invalid_token"];
  if (caller.startsWith("inactive")) return [401, "inactive_account"];
  if (caller.startsWith("signed-out")) return [401, "session_ended"];
  if (who === "signed-in") return "allowed";
  if (caller === "unverified moderator") return [403, "email_not_verified"];
  return caller === "moderator" ? "allowed" : [403, "permission_denied"];
}

const creates = /POST .*(?:customers|couriers|managers|moderators)/;

describe.each(Object.entries(permissions))("65 8.2.1 %s", (route, permission) => {
  test.each(Object.keys(callers))("%s", async (name) => {
    const { make, owner, token: shown } = callers[name]!;
    const caller = await make?.();
    // Unverified, so that everything that can be done with an account can be done with it.
    const isOwn = /current|v1\/sessions/.test(route) || (owner === "self" && route.includes(":id"));
    const outcome = expected(permission, name);
    const target = caller && isOwn ? caller : await signUp(stand);
    if (route.includes("send-activation")) {
      await stand.query("update users set is_email_verified = false where id = $1 and role <> 'MO'", [target.id]);
    }
    const { method, path, headers, ...rest } = await sampleOf(stand, route, target);
    const before = outcome === "allowed" ? undefined : await stateOf(stand);
    const token = shown ?? caller?.token;
    const authorization = token === undefined ? {} : bearer(token).headers;
    // The refresh cookie of another account than the token's is refused for a reason of its own.
    const isRefresh = route.includes("/refresh/");
    const options = { ...rest, headers: { ...headers, ...(isRefresh ? {} : authorization) } };
    const answer = await stand.client().request(method, path, options);
    await resetRequestsFollowedUp(stand);

    if (outcome !== "allowed") {
      expect([answer.status, answer.json()]).toEqual([outcome[0], { detail: expect.any(String), code: outcome[1] }]);
      expect(await stateOf(stand)).toEqual(before);
      expect(answer.headers.getSetCookie()).toEqual([]);
      return;
    }
    // A verified moderator needs no other link, and is told so.
    const needsNoLink = route.includes("send-activation") && name === "moderator";
    expect([answer.status, answer.text]).toEqual([
      needsNoLink ? 400 : creates.test(route) ? 201 : route.startsWith("DELETE") ? 204 : 200,
      expect.any(String),
    ]);
    const counts = caller !== undefined && !/^(?:inactive|signed-out)/.test(name);
    if (!needsNoLink) expectReads(permission, answer, name === "moderator" || (counts && caller.id === target.id));
  });
});

/** Exactly the fields that the table allows; of a list, each entry. */
function expectReads({ reads }: Permission, answer: Answer, maySeeAll: boolean): void {
  if (answer.status === 204) {
    expect([reads, answer.text]).toEqual(["nothing", ""]);
    return;
  }
  const body: unknown = JSON.parse(answer.text);
  if (reads === "sessions") {
    expect((body as object[]).map((session) => fieldsOf(session))).toEqual([sessionFields]);
    return;
  }
  if (reads === "audit") {
    expect(Object.keys((body as object[])[0] ?? {}).toSorted()).toEqual(auditFields);
    return;
  }
  if (reads === "nothing") {
    expect(fieldsOf(body as object).filter((field) => field !== "detail")).toEqual([]);
    return;
  }
  const fields = reads === "full" || maySeeAll ? fullViewFields : publicViewFields;
  const shown = Array.isArray(body) ? (body as object[]) : [body as object];
  expect(shown).not.toEqual([]);
  for (const view of shown) expect(fieldsOf(view)).toEqual(fields);
}

/** The path as it is written here: `fetch` would tidy it up. */
async function sendRaw(method: string, path: string, headers: Record<string, string>, body: Buffer) {
  const { hostname, port } = new URL(stand.url);
  const sent = request({ method, path, headers, hostname, port });
  const [answer] = (await once(sent.end(body), "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: await text(answer) };
}

const forModerators = Object.entries(permissions).flatMap(([route, { who }]) => (who === "moderator" ? [route] : []));
const refused = new Set([400, 403, 404, 405]);
const spellings: Record<string, (path: string) => string> = {
  "without its slash": (path) => path.slice(0, -1),
  "with two slashes": (path) => path.replace("/users", "//users").replace("/audit", "//audit"),
  "with one slash more": (path) => `${path}/`,
  "in capitals": (path) => path.toUpperCase(),
  "with an encoded letter": (path) => path.replace("v1/u", "v1/%75").replace("v1/a", "v1/%61"),
  "with an encoded slash": (path) => path.replace("v1/", "v1%2f"),
  "with a detour": (path) => path.replace("/v1/", "/v1/tokens/../"),
  "with an encoded detour": (path) => path.replace("/v1/", "/v1/tokens/%2e%2e/"),
  "with a dot": (path) => path.replace("/v1/", "/v1/./"),
  "with a parameter": (path) => path.replace(/\/$/, ";a=b/"),
  "with a suffix": (path) => path.replace(/\/$/, ".json"),
  "with a NUL": (path) => `${path}%00`,
  "with a query": (path) => `${path}?role=MO&is_staff=true`,
  "as a whole URL": (path) => `http://localhost${path}`,
};

test.each(forModerators)("65 %s, spelled otherwise, by a customer: refused, and nothing happens", async (route) => {
  const customer = await signUp(stand, "CU", { verified: true });
  const { method, path, body, form } = await sampleOf(stand, route, customer);
  // A form by itself tells its type and its bytes.
  const sent = new Response(form ?? (body === undefined ? null : JSON.stringify(body)));
  const type = form ? (sent.headers.get("content-type") ?? "") : "application/json";
  const bytes = Buffer.from(await sent.arrayBuffer());
  const before = await stateOf(stand);
  for (const [spelling, spell] of Object.entries(spellings)) {
    const headers = { ...bearer(customer.token).headers, "content-type": type };
    const answer = await sendRaw(method, spell(path), headers, bytes);
    expect([spelling, answer.status, refused.has(answer.status)]).toEqual([spelling, answer.status, true]);
    expect([spelling, answer.text]).toEqual([spelling, expect.stringMatching(/"code":"\w+"|^\{"\w+":\[/)]);
  }
  expect(await stateOf(stand)).toEqual(before);
});

test("65 a path that a header names is not the one that is asked for", async () => {
  const moderator = await signUp(stand, "MO");
  for (const name of ["x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-prefix", "x-http-method"]) {
    const headers = { ...bearer(moderator.token).headers, [name]: "/api/v1/users/" };
    const answer = await stand.client().get("/nothing/", { headers });
    expect([name, answer.status]).toEqual([name, 404]);
  }
});

test("65 8.3.2 a moderator demoted while he asks twenty times at once: from the answer on nothing is allowed", async () => {
  const [boss, demoted] = [await signUp(stand, "MO"), await signUp(stand, "MO")];
  const ask = () => Promise.all(Array.from({ length: 20 }, () => demoted.client.get("/api/v1/users/?limit=1")));
  const meanwhile = ask();
  const answer = await boss.client.request("PATCH", `/api/v1/users/${demoted.id}/`, { body: { role: "CU" } });
  expect(answer.status).toBe(200);
  const after = await ask();
  expect(new Set(after.map(({ status }) => status))).toEqual(new Set([403]));
  for (const { status } of await meanwhile) expect([200, 403]).toContain(status);
});

describe("68 3.5.3 a preflight of what would be done: 204, and nothing happens", () => {
  const foreign = "https://evil.example";
  const preflights = (method: string): Record<string, string>[] => [
    { "access-control-request-method": method },
    { "access-control-request-method": method, origin: app },
    { "access-control-request-method": method, origin: foreign, "access-control-request-headers": "content-type" },
    { "x-http-method-override": method, "x-http-method": method, "x-method-override": method, origin: app },
    {},
  ];

  test.each(Object.keys(permissions))("%s", async (route) => {
    const caller = await signUp(stand, permissions[route]?.who === "moderator" ? "MO" : "CU");
    const target = /current|v1\/sessions/.test(route) ? caller : await signUp(stand);
    const { method, path, ...options } = await sampleOf(stand, route, target);
    await resetRequestsFollowedUp(stand);
    const before = await stateOf(stand);
    for (const preflight of preflights(method)) {
      const headers = { ...bearer(caller.token).headers, ...options.headers, ...preflight };
      const answer = await stand.client().request("OPTIONS", path, { ...options, headers });
      expect([preflight, answer.status, answer.text]).toEqual([preflight, 204, ""]);
      expect(answer.headers.getSetCookie()).toEqual([]);
    }
    await resetRequestsFollowedUp(stand);
    expect(await stateOf(stand)).toEqual(before);
    // It would have been done.
    const own = route.includes("/refresh/") ? {} : bearer(caller.token).headers;
    const done = await stand.client().request(method, path, { ...options, headers: { ...options.headers, ...own } });
    expect([done.text, done.status < 300]).toEqual([done.text, true]);
  });

  test("the form of a mailed link", async () => {
    const person = await signUp(stand);
    const link = linkIn(await stand.mailTo(person.email));
    const before = await stateOf(stand);
    for (const preflight of preflights("POST")) {
      const headers = { ...preflight, cookie: `access_token=${person.token}`, accept: "application/json" };
      expect((await stand.client().request("OPTIONS", link, { headers })).status).toBe(204);
    }
    expect(await stateOf(stand)).toEqual(before);
    expect((await submitForm(stand, link, { password: "correct horse battery" })).status).toBe(200);
  });
});
