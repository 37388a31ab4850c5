import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createSecretKey } from "node:crypto";
import jwt, { type Algorithm } from "jsonwebtoken";
import { password } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";
import { memoryLog } from "../unit/helpers.ts";
import { said, setCookiesOf, signUp, type Person } from "./accounts.ts";

const day = 24 * 60 * 60;
const until = "2026-12-31T00:00:00Z";
const previous = "the-secret-key-before-0123456789-abcdefg";

/** Of the service and of the tokens; the database has one of its own. */
let now = Date.parse(until) - 5 * day * 1000;
const log = memoryLog();
let service: TestService;
beforeAll(async () => {
  const changes = { LEGACY_TOKENS_UNTIL: until, SECRET_KEY_PREVIOUS: previous };
  service = await startService(changes, { clock: { now: () => now }, log });
});
afterAll(() => service.stop());

const refreshPath = "/api/v1/tokens/refresh/";
const current = "/api/v1/users/current/";
const invalidToken = [401, { detail: "Token is invalid or expired", code: "invalid_token" }];

interface Making {
  readonly claims?: Record<string, unknown>;
  readonly algorithm?: Algorithm;
  readonly secret?: string;
}
let issued = 0;
/** As the original issued it. */
function legacyToken(userId: unknown, { claims = {}, algorithm = "HS256", secret }: Making = {}): string {
  const seconds = Math.floor(now / 1000);
  const own = { token_type: "refresh", exp: seconds + 10 * day, iat: seconds, jti: `${++issued}`, user_id: userId };
  const defined = Object.entries({ ...own, ...claims }).filter(([, value]) => value !== undefined);
  const key = createSecretKey(Buffer.from(secret ?? service.env["SECRET_KEY"] ?? ""));
  return jwt.sign(Object.fromEntries(defined), key, { algorithm, noTimestamp: true });
}

/** Somebody who came over from the original, with no session here. */
async function newcomer(): Promise<Person> {
  const person = await signUp(service, "CU", { verified: true });
  await service.query("delete from sessions where user_id = $1", [person.id]);
  return person;
}
const refresh = (token: string, on = service) =>
  on.client().post(refreshPath, undefined, { headers: { cookie: `refresh_token=${token}` } });
const successorOf = (answer: Awaited<ReturnType<typeof refresh>>) =>
  setCookiesOf(answer).find(({ name, value }) => name === "refresh_token" && value !== "")?.value ?? "";
const sessionsOf = ({ id }: Person) =>
  service.query<{ end_reason: string | null }>("select end_reason from sessions where user_id = $1", [id]);
const rotatedBefore = (person: Person, seconds: number) =>
  service.query("update sessions set rotated_at = rotated_at - make_interval(secs => $2) where user_id = $1", [
    person.id,
    seconds,
  ]);

describe("a refresh token of the original", () => {
  test("is exchanged for a session of ours, which lives on by its own tokens", async () => {
    const person = await newcomer();
    const client = service.client();
    const answer = await client.post(refreshPath, undefined, {
      headers: { cookie: `refresh_token=${legacyToken(person.id)}` },
    });
    expect(said(answer)).toEqual([200, {}]);
    // The original's cookie lay on the path "/": it is taken away there.
    const cookies = setCookiesOf(answer).map(({ name, attributes }) => [
      name,
      attributes["Path"],
      attributes["Max-Age"],
    ]);
    expect(cookies).toEqual([
      ["access_token", "/", "86400"],
      ["refresh_token", "/api/v1/tokens", "864000"],
      ["refresh_token", "/", "0"],
    ]);
    expect((await client.get(current)).json()).toMatchObject({ id: person.id });
    for (let count = 0; count < 3; count++) expect((await client.post(refreshPath)).status).toBe(200);
    expect(await sessionsOf(person)).toEqual([{ end_reason: null }]);
    const seen = JSON.parse((await client.get("/api/v1/sessions/")).text) as { current: boolean }[];
    expect(seen.map((session) => session.current)).toEqual([true]);
  });

  test("with its user_id as a string, as newer releases of its library write it: the same", async () => {
    const person = await newcomer();
    expect((await refresh(legacyToken(String(person.id)))).status).toBe(200);
  });

  test("signed with the previous SECRET_KEY: the same", async () => {
    const person = await newcomer();
    expect((await refresh(legacyToken(person.id, { secret: previous }))).status).toBe(200);
  });

  test("of two devices: a session each", async () => {
    const person = await newcomer();
    for (const token of [legacyToken(person.id), legacyToken(person.id)]) {
      expect((await refresh(token)).status).toBe(200);
    }
    expect(await sessionsOf(person)).toHaveLength(2);
  });

  test("a lost answer: again within 30 s, while its successor is unused, gives the same successor", async () => {
    const person = await newcomer();
    const token = legacyToken(person.id);
    const first = successorOf(await refresh(token));
    await rotatedBefore(person, 25);
    expect(successorOf(await refresh(token))).toBe(first);
    expect((await refresh(first)).status).toBe(200);
    expect(await sessionsOf(person)).toEqual([{ end_reason: null }]);
  });

  test.each([
    ["its successor was used", (_: Person, successor: string) => refresh(successor)],
    ["30 s have passed", (person: Person) => rotatedBefore(person, 31)],
  ])("again after %s: the session is over, and the owner is told", async (_, meanwhile) => {
    const person = await newcomer();
    const token = legacyToken(person.id);
    const successor = successorOf(await refresh(token));
    await meanwhile(person, successor);
    expect(said(await refresh(token))).toEqual(invalidToken);
    expect(await sessionsOf(person)).toEqual([{ end_reason: "reuse" }]);
    expect((await refresh(successor)).status).toBe(401);
    expect(said(await refresh(token))).toEqual(invalidToken);
    expect((await service.mailTo(person.email, 2)).subject).toContain("signed a device out");
    const audited = "select event from audit_log where subject_id = $1 and outcome = 'refused'";
    // What came after its end is told as well, a second later.
    expect(await service.query(`${audited} and event <> 'session_use_after_expire'`, [person.id])).toEqual([
      { event: "authn_token_reuse" },
    ]);
    const lines = log.lines.filter(({ fields }) => fields["event"] === "authn_token_reuse");
    expect(lines.filter(({ fields }) => fields["subject_id"] === person.id)).toHaveLength(1);
  });

  test("with an access cookie of another account: refused", async () => {
    const [person, other] = [await newcomer(), await signUp(service)];
    const cookie = `access_token=${other.token}; refresh_token=${legacyToken(person.id)}`;
    expect(said(await service.client().post(refreshPath, undefined, { headers: { cookie } }))).toEqual(invalidToken);
  });
});

describe("what ends it", () => {
  test.each([
    ["before it was ever exchanged", false],
    ["after it was exchanged", true],
  ])("signing out %s: neither it nor its successor works any more", async (_, exchanged) => {
    const person = await newcomer();
    const token = legacyToken(person.id);
    const held = exchanged ? successorOf(await refresh(token)) : token;
    const headers = { cookie: `refresh_token=${held}` };
    expect((await service.client().post("/api/v1/tokens/clear/", undefined, { headers })).status).toBe(200);
    expect(said(await refresh(held))).toEqual(invalidToken);
    expect(said(await refresh(token))).toEqual(invalidToken);
    expect(await sessionsOf(person)).toEqual([{ end_reason: "logout" }]);
  });

  test.each([
    [
      "a change of the password",
      async ({ client, email }: Person) => {
        await client.post("/api/v1/tokens/", { email, password });
        const body = { current_password: password, new_password: "seven bicycles in the rain" };
        expect((await client.post("/api/v1/users/current/password/", body)).status).toBe(200);
      },
    ],
    [
      "ending all other sessions, on the device that he signed in on here",
      async ({ client, email }: Person) => {
        await client.post("/api/v1/tokens/", { email, password });
        expect((await client.request("DELETE", "/api/v1/sessions/")).status).toBe(204);
        expect((await client.get(current)).status).toBe(200);
      },
    ],
    [
      "a moderator",
      async ({ id }: Person) => {
        const moderator = await signUp(service, "MO");
        expect((await moderator.client.request("DELETE", `/api/v1/users/${id}/sessions/`)).status).toBe(204);
      },
    ],
  ])("%s: one that was never exchanged no longer works, and neither does one that was", async (_, end) => {
    const person = await newcomer();
    const [never, once] = [legacyToken(person.id), legacyToken(person.id)];
    const successor = successorOf(await refresh(once));
    await end(person);
    for (const token of [never, once, successor]) expect(said(await refresh(token))).toEqual(invalidToken);
  });

  test("an inactive account: refused, and active again it is refused all the same", async () => {
    const [person, moderator] = [await newcomer(), await signUp(service, "MO")];
    const token = legacyToken(person.id);
    for (const is_active of [false, true]) {
      await moderator.client.request("PATCH", `/api/v1/users/${person.id}/`, { body: { is_active } });
      expect(said(await refresh(token))).toEqual(invalidToken);
    }
    expect(await sessionsOf(person)).toEqual([]);
  });
});

describe("what is none: 401, no cookies, no session", () => {
  const wrong: Record<string, (id: number) => string> = {
    "an access token": (id) => legacyToken(id, { claims: { token_type: "access" } }),
    "no type": (id) => legacyToken(id, { claims: { token_type: undefined } }),
    expired: (id) => legacyToken(id, { claims: { exp: Math.floor(now / 1000) - 1 } }),
    "without exp": (id) => legacyToken(id, { claims: { exp: undefined } }),
    "with exp 1e300": (id) => legacyToken(id, { claims: { exp: 1e300 } }),
    "not valid yet": (id) => legacyToken(id, { claims: { nbf: Math.floor(now / 1000) + 60 } }),
    HS384: (id) => legacyToken(id, { algorithm: "HS384" }),
    HS512: (id) => legacyToken(id, { algorithm: "HS512" }),
    "another secret": (id) => legacyToken(id, { secret: "some-other-secret-key-0123456789-abcdefgh" }),
    "no algorithm": (id) => {
      const [, claims = ""] = legacyToken(id).split(".");
      return `${Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url")}.${claims}.`;
    },
    "one bit changed": (id) => {
      const [header = "", claims = "", signature = ""] = legacyToken(id).split(".");
      return [header, claims, `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`].join(".");
    },
    "an unknown account": () => legacyToken(99_999_999),
    "account 0": () => legacyToken(0),
    "a negative account": (id) => legacyToken(-id),
    "a fraction of an account": (id) => legacyToken(id + 0.5),
    "an account beyond all integers": () => legacyToken("9".repeat(20)),
    "an account in hexadecimal": (id) => legacyToken(`0x${id.toString(16)}`),
    "no account": () => legacyToken(undefined),
    "2,049 characters": (id) => legacyToken(id, { claims: { padding: "x".repeat(2000) } }),
  };
  test.each(Object.keys(wrong))("%s", async (name) => {
    const person = await newcomer();
    const answer = await refresh(wrong[name]!(person.id));
    expect([said(answer), setCookiesOf(answer)]).toEqual([invalidToken, []]);
    expect(await sessionsOf(person)).toEqual([]);
  });

  test("as an access token, by cookie or by bearer: refused", async () => {
    const person = await newcomer();
    const token = legacyToken(person.id);
    for (const headers of [{ cookie: `access_token=${token}` }, { authorization: `Bearer ${token}` }]) {
      expect((await service.client().get(current, { headers })).status).toBe(401);
    }
  });
});

describe("LEGACY_TOKENS_UNTIL", () => {
  test("from that moment on: refused; what was exchanged before lives on", async () => {
    const [person, late] = [await newcomer(), await newcomer()];
    const [first, second] = [legacyToken(person.id), legacyToken(late.id)];
    const before = now;
    try {
      now = Date.parse(until) - 1;
      const successor = successorOf(await refresh(first));
      now = Date.parse(until);
      expect(said(await refresh(second))).toEqual(invalidToken);
      expect((await refresh(successor)).status).toBe(200);
    } finally {
      now = before;
    }
    expect((await refresh(second)).status).toBe(200);
  });

  test("unset: refused", async () => {
    const without = await startService();
    try {
      const person = await signUp(without);
      const token = legacyToken(person.id, {
        claims: { exp: Math.floor(Date.now() / 1000) + day },
        secret: without.env["SECRET_KEY"] ?? "",
      });
      expect(said(await refresh(token, without))).toEqual(invalidToken);
      const cleared = await without.client().post("/api/v1/tokens/clear/", undefined, {
        headers: { cookie: `refresh_token=${token}` },
      });
      expect(cleared.status).toBe(200);
      expect((await person.client.get(current)).status).toBe(200);
    } finally {
      await without.stop();
    }
  });
});

test("a mail about reuse goes to the stored address of the owner, whatever the token says", async () => {
  const person = await newcomer();
  const token = legacyToken(person.id, { claims: { email: "evil@example.org" } });
  await refresh(successorOf(await refresh(token)));
  expect((await refresh(token)).status).toBe(401);
  const told = "select address from mails where user_id = $1 and kind = 'session-reuse'";
  expect(await service.query(told, [person.id])).toEqual([{ address: person.email }]);
});
