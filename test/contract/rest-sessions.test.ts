import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import type { Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import type { TestStand } from "../support/service.ts";
import { fieldsOf, said, sessionFields, setCookiesOf, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
let roles: RolesClient;
beforeAll(async () => {
  stand = await startStand();
  roles = rolesClient(stand.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await stand.stop();
});

const sessionsPath = "/api/v1/sessions/";
const notFound = [404, { detail: "Not found.", code: "not_found" }];
const nobodysId = "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c";

interface Listed {
  readonly id: string;
  readonly created_at: string;
  readonly last_used_at: string;
  readonly ip: string;
  readonly user_agent: string;
  readonly current: boolean;
}
const list = async (client: Client): Promise<Listed[]> => {
  const answer = await client.get(sessionsPath);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.text) as Listed[];
};
const ownId = async (client: Client): Promise<string> => (await list(client)).find(({ current }) => current)?.id ?? "";

/** The same person on another device. */
async function signIn({ email }: Person, userAgent = "another device"): Promise<Client> {
  const client = stand.client();
  const headers = { "user-agent": userAgent };
  expect((await client.post("/api/v1/tokens/", { email, password }, { headers })).status).toBe(200);
  return client;
}

/** What is left of a sign-in: REST, gRPC and the refresh token. The last one is tried last, as it makes new ones. */
async function lives(client: Client): Promise<{ rest: number; grpc: unknown; refresh: number }> {
  const token = client.cookie("access_token") ?? "";
  return {
    rest: (await client.get("/api/v1/users/current/")).status,
    grpc: await roles.getUserRole(token),
    refresh: (await client.post("/api/v1/tokens/refresh/")).status,
  };
}
const over = { rest: 401, grpc: { code: status.UNAUTHENTICATED, details: "Session has ended" }, refresh: 401 };
const alive = ({ id }: Person, role = "USER_ROLE_CUSTOMER") => ({
  rest: 200,
  grpc: { user_id: String(id), role },
  refresh: 200,
});
const someone = (role: "CU" | "MO" = "CU") => signUp(stand, role, { verified: true });

describe("GET /sessions/", () => {
  test("signed in on three devices: three sessions with exactly these fields, and the own one is marked", async () => {
    const person = await someone();
    const [phone, tablet] = [await signIn(person, "a phone"), await signIn(person, "a tablet")];
    const seen = await list(tablet);
    expect(seen.map((session) => fieldsOf(session))).toEqual([sessionFields, sessionFields, sessionFields]);
    expect(seen.map(({ user_agent, current }) => [user_agent, current])).toEqual([
      ["a tablet", true],
      ["a phone", false],
      [expect.any(String), false],
    ]);
    expect(seen.every(({ ip }) => ip === "127.0.0.1")).toBe(true);
    for (const { created_at, last_used_at } of seen) {
      for (const time of [created_at, last_used_at]) {
        expect(time).toBe(new Date(time).toISOString());
        expect(Math.abs(Date.now() - Date.parse(time))).toBeLessThan(60_000);
      }
    }
    expect((await list(phone)).filter(({ current }) => current).map((session) => session.user_agent)).toEqual([
      "a phone",
    ]);
  });

  test("a refresh: the same session, used last", async () => {
    const person = await someone();
    const first = await ownId(person.client);
    await signIn(person);
    await person.client.post("/api/v1/tokens/refresh/");
    const [newest, ...others] = await list(person.client);
    expect([newest?.id, newest?.current, others.length]).toEqual([first, true, 1]);
    expect(Date.parse(newest!.last_used_at)).toBeGreaterThan(Date.parse(newest!.created_at));
  });

  test("what has ended or expired, and what is another account's, is not listed", async () => {
    const [person, other] = [await someone(), await someone()];
    const ended = await signIn(person);
    await ended.post("/api/v1/tokens/clear/");
    const idle = await ownId(await signIn(person));
    await stand.query("update sessions set idle_expires_at = now() where id = $1", [idle]);
    const old = await ownId(await signIn(person));
    await stand.query("update sessions set expires_at = now() where id = $1", [old]);
    const seen = await list(person.client);
    expect(seen.map(({ current }) => current)).toEqual([true]);
    expect((await list(other.client)).map(({ id }) => id)).not.toContain(seen[0]?.id);
  });

  test("a user agent of 5,000 characters, or with markup: cut, and only ever JSON", async () => {
    const person = await someone();
    await signIn(person, "x".repeat(5000));
    await signIn(person, '<script>alert("x")</script>');
    const [markup, long] = await list(person.client);
    expect([markup?.user_agent, long?.user_agent]).toEqual(['<script>alert("x")</script>', "x".repeat(256)]);
  });
});

describe("DELETE /sessions/{id}/", () => {
  test("another own one: 204 without a body, it is over everywhere, and this one lives on", async () => {
    const person = await someone();
    const other = await signIn(person);
    const answer = await person.client.request("DELETE", `${sessionsPath}${await ownId(other)}/`);
    expect([answer.status, answer.text, answer.headers.get("content-type")]).toEqual([204, "", null]);
    expect(setCookiesOf(answer)).toEqual([]);
    expect(await lives(other)).toEqual(over);
    expect(await lives(person.client)).toEqual(alive(person));
  });

  test("this one: 204, the cookies are cleared, and it is over everywhere; the others live on", async () => {
    const person = await someone();
    const other = await signIn(person);
    const kept = stand.client();
    for (const [name, cookie] of person.client.cookies) kept.cookies.set(name, cookie);
    const answer = await person.client.request("DELETE", `${sessionsPath}${await ownId(person.client)}/`);
    expect([answer.status, answer.text]).toEqual([204, ""]);
    const cleared = setCookiesOf(answer).map(({ name, value, attributes }) => [name, value, attributes["Max-Age"]]);
    expect(cleared).toEqual([
      ["access_token", "", "0"],
      ["refresh_token", "", "0"],
      ["refresh_token", "", "0"],
    ]);
    expect([...person.client.cookies.values()].map(({ name }) => name)).toEqual(["device_id"]);
    expect(await lives(kept)).toEqual(over);
    expect(await lives(other)).toEqual(alive(person));
  });

  test("twice: the second time it is not there", async () => {
    const person = await someone();
    const path = `${sessionsPath}${await ownId(await signIn(person))}/`;
    expect((await person.client.request("DELETE", path)).status).toBe(204);
    expect(said(await person.client.request("DELETE", path))).toEqual(notFound);
  });

  test("another account's: as if it were not there, for a moderator as well, and it lives on", async () => {
    const victim = await someone();
    const path = `${sessionsPath}${await ownId(victim.client)}/`;
    for (const stranger of [await someone(), await someone("MO")]) {
      expect(said(await stranger.client.request("DELETE", path))).toEqual(notFound);
    }
    expect(await lives(victim.client)).toEqual(alive(victim));
  });

  test("one that nobody has, and one that has expired: 404", async () => {
    const person = await someone();
    const expired = await ownId(await signIn(person));
    await stand.query("update sessions set expires_at = now() where id = $1", [expired]);
    for (const id of [nobodysId, expired]) {
      expect(said(await person.client.request("DELETE", `${sessionsPath}${id}/`))).toEqual(notFound);
    }
  });

  test.each([
    ["a number", "1"],
    ["36 dashes", "-".repeat(36)],
    ["36 digits", "1".repeat(36)],
    ["dashes at the wrong places", "0b8f2f6e3-c1d-4f5a-9b7c-1d2e3f4a5b6c"],
    ["capitals", nobodysId.toUpperCase()],
    ["a line break at the end", `${nobodysId}%0a`],
    ["SQL", "'%20or%20true--"],
    ["a NUL", "%00"],
  ])("%s: 400 naming id", async (_, id) => {
    const person = await someone();
    const answer = await person.client.request("DELETE", `${sessionsPath}${id}/`);
    expect(said(answer)).toEqual([400, { id: [expect.any(String)] }]);
    expect(await list(person.client)).toHaveLength(1);
  });
});

describe("DELETE /sessions/", () => {
  test("all but this one are over everywhere; this one needs no new cookies", async () => {
    const [person, stranger] = [await someone(), await someone()];
    const others = [await signIn(person), await signIn(person)];
    const answer = await person.client.request("DELETE", sessionsPath);
    expect([answer.status, answer.text, setCookiesOf(answer)]).toEqual([204, "", []]);
    for (const other of others) expect(await lives(other)).toEqual(over);
    expect(await list(person.client)).toHaveLength(1);
    expect(await lives(person.client)).toEqual(alive(person));
    expect(await lives(stranger.client)).toEqual(alive(stranger));
  });

  test("there is no other: 204 all the same, and nothing is written down", async () => {
    const person = await someone();
    expect((await person.client.request("DELETE", sessionsPath)).status).toBe(204);
    expect(await lives(person.client)).toEqual(alive(person));
    const audited = "select 1 from audit_log where subject_id = $1 and event = 'session_logout'";
    expect(await stand.query(audited, [person.id])).toEqual([]);
  });
});

describe("DELETE /users/{id}/sessions/", () => {
  const of = (id: number | string) => `/api/v1/users/${id}/sessions/`;

  test("all of the account's are over everywhere, it can sign in again, and the audit log names the moderator", async () => {
    const [moderator, person, stranger] = [await someone("MO"), await someone(), await someone()];
    const other = await signIn(person);
    const answer = await moderator.client.request("DELETE", of(person.id));
    expect([answer.status, answer.text, setCookiesOf(answer)]).toEqual([204, "", []]);
    for (const client of [person.client, other]) expect(await lives(client)).toEqual(over);
    expect(await lives(await signIn(person))).toEqual(alive(person));
    expect(await lives(stranger.client)).toEqual(alive(stranger));
    expect(await lives(moderator.client)).toEqual(alive(moderator, "USER_ROLE_MODERATOR"));
    const audit = "select event, actor_id::int, ip from audit_log where subject_id = $1 and event = 'session_logout'";
    expect(await stand.query(audit, [person.id])).toEqual([
      { event: "session_logout", actor_id: moderator.id, ip: "127.0.0.1" },
    ]);
  });

  test("the moderator's own: over as well", async () => {
    const moderator = await someone("MO");
    expect((await moderator.client.request("DELETE", of(moderator.id))).status).toBe(204);
    expect(await lives(moderator.client)).toEqual(over);
  });

  test("nobody's: 404; no id: 400; and nothing in the audit log", async () => {
    const { client, id } = await someone("MO");
    expect(said(await client.request("DELETE", of(99_999_999)))).toEqual(notFound);
    for (const wrong of ["0", "-1", "x", "1e3", "9".repeat(17)]) {
      expect(said(await client.request("DELETE", of(wrong)))).toEqual([400, { id: [expect.any(String)] }]);
    }
    expect(await stand.query("select 1 from audit_log where actor_id = $1 and outcome = 'success'", [id])).toEqual([]);
  });
});

test("51 sign-ins: the 50 newest live, and what was used longest ago is over everywhere", async () => {
  const person = await someone();
  const second = await signIn(person, "the second");
  for (let count = 3; count <= 50; count++) await signIn(person);
  expect(await lives(person.client)).toEqual(alive(person));
  // The first was refreshed just now: the second is the one that was not used for the longest time.
  const newest = await signIn(person, "the newest");
  const seen = await list(newest);
  expect([seen.length, seen.map(({ user_agent }) => user_agent)]).toEqual([50, expect.arrayContaining(["the newest"])]);
  expect(seen.map(({ user_agent }) => user_agent)).not.toContain("the second");
  expect(await lives(second)).toEqual(over);
  expect(await lives(person.client)).toEqual(alive(person));
  const reasons = "select end_reason from sessions where user_id = $1 and ended_at is not null";
  expect(await stand.query(reasons, [person.id])).toEqual([{ end_reason: "crowded-out" }]);
});
