import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import pg from "pg";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { fullViewOf, said, setCookiesOf, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const paths = { CU: "customers", CO: "couriers", RM: "managers" } as const;
const reused = [409, { detail: "The Idempotency-Key was used for another request.", code: "idempotency_key_reused" }];
const taken = [400, { email: ["user with this email already exists."] }];

const register = (key: string | undefined, body: unknown, role: keyof typeof paths = "CU", client = stand.client()) =>
  client.post(`/api/v1/users/${paths[role]}/`, body, {
    headers: key === undefined ? {} : { "idempotency-key": key },
  });

/** What an address has made: accounts, mails, events and sessions, whichever way its letters were typed. */
async function madeFor(email: string) {
  const counts = await stand.query(
    `select (select count(*)::int from users u where u.email_canonical = $1) as accounts,
       (select count(*)::int from mails m join users u on u.id = m.user_id where u.email_canonical = $1) as mails,
       (select count(*)::int from outbox o join users u on u.id = o.user_id where u.email_canonical = $1) as events`,
    [email.toLowerCase()],
  );
  return counts[0];
}
const once = { accounts: 1, mails: 1, events: 1 };
const none = { accounts: 0, mails: 0, events: 0 };

describe("the same key and the same body", () => {
  test.each(["CU", "CO", "RM"] as const)("%s: the same answer, one account, one mail, one event", async (role) => {
    const [key, body] = [randomUUID(), registration()];
    const [first, again] = [await register(key, body, role), await register(key, body, role)];
    expect(said(first)).toEqual([201, fullViewOf(stand, role, body)]);
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect(await madeFor(body.email)).toEqual(once);
  });

  test("each answer signs in, with tokens of its own, of the kind that was asked for", async () => {
    const [key, body] = [randomUUID(), registration({ expires_session: true })];
    const [one, other] = [stand.client(), stand.client()];
    for (const client of [one, other]) {
      const answer = await register(key, body, "CU", client);
      const ages = setCookiesOf(answer).map(({ attributes }) => attributes["Max-Age"]);
      expect([answer.status, ages]).toEqual([201, [undefined, undefined, "0", undefined]]);
    }
    for (const client of [one, other]) {
      expect((await client.get("/api/v1/users/current/")).json()).toMatchObject({ email: body.email });
      expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(200);
    }
    expect(JSON.parse((await one.get("/api/v1/sessions/")).text)).toHaveLength(2);
  });

  test("its fields in another order, and others beside them: the same body", async () => {
    const [key, body] = [randomUUID(), registration()];
    expect((await register(key, body)).status).toBe(201);
    const entries = Object.entries({ ...body.user_profile, age: 3 }).toReversed();
    const shuffled = {
      role: "MO",
      user_profile: Object.fromEntries(entries),
      password: body.password,
      email: body.email,
    };
    expect((await register(key, shuffled)).status).toBe(201);
    expect(await madeFor(body.email)).toEqual(once);
  });

  test("after the account has changed: the account as it is", async () => {
    const [key, body, client] = [randomUUID(), registration(), stand.client()];
    await register(key, body, "CU", client);
    await client.request("PATCH", "/api/v1/users/current/", { body: { user_profile: { first_name: "Zofia" } } });
    expect((await register(key, body)).json()).toMatchObject({ user_profile: { first_name: "Zofia" } });
  });

  test("after the password has changed, or while it changes: 409, and nobody is signed in by the old one", async () => {
    const [key, body, client] = [randomUUID(), registration(), stand.client()];
    await register(key, body, "CU", client);
    const other = new pg.Client({ connectionString: stand.database.url });
    await other.connect();
    try {
      // Another password that is about to be committed: the account is locked, its old hash still to be seen.
      await other.query("begin");
      await other.query(
        `update users set password_hash = overlay(password_hash placing '..' from length(password_hash) - 1),
           session_epoch = session_epoch + 1 where email = $1`,
        [body.email],
      );
      const again = register(key, body);
      await eventually("the repeated request waits", async () => {
        const waiting =
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        return (await stand.query(waiting)).length > 0 ? true : undefined;
      });
      await other.query("commit");
      expect([said(await again), setCookiesOf(await again)]).toEqual([reused, []]);
    } finally {
      await other.end();
    }
    expect(said(await register(key, body))).toEqual(reused);
  });

  test("after the account was deactivated: 409, and nobody is signed in", async () => {
    const [key, body] = [randomUUID(), registration()];
    await register(key, body);
    await stand.query("update users set is_active = false where email = $1", [body.email]);
    const answer = await register(key, body);
    expect([said(answer), setCookiesOf(answer)]).toEqual([reused, []]);
  });

  test("a moderator that a moderator makes: the same answer, no cookies, one account, one mail, one event", async () => {
    const { client } = await signUp(stand, "MO");
    const [headers, body] = [{ "idempotency-key": randomUUID() }, registration()];
    const post = () => client.post("/api/v1/users/moderators/", body, { headers });
    const [first, again] = [await post(), await post()];
    expect(said(first)).toEqual([201, fullViewOf(stand, "MO", body)]);
    expect([again.status, again.text, setCookiesOf(again)]).toEqual([201, first.text, []]);
    expect(await madeFor(body.email)).toEqual(once);
    const different = await client.post(
      "/api/v1/users/moderators/",
      { ...body, password: "another password" },
      { headers },
    );
    expect(said(different)).toEqual(reused);
  });

  test("a moderator's key tells nobody who is none", async () => {
    const [moderator, person] = [await signUp(stand, "MO"), await signUp(stand)];
    const [headers, body] = [{ "idempotency-key": randomUUID() }, registration()];
    await moderator.client.post("/api/v1/users/moderators/", body, { headers });
    expect((await person.client.post("/api/v1/users/moderators/", body, { headers })).status).toBe(403);
  });
});

describe("the same key and another body: 409, and nothing is made", () => {
  test.each([
    ["another address", { email: uniqueEmail("another") }],
    ["another password", { password: "another password" }],
    ["another kind of cookies", { expires_session: true }],
    ["another name", { user_profile: { ...registration().user_profile, first_name: "Ewa" } }],
  ])("%s", async (_, changes) => {
    const [key, body] = [randomUUID(), registration()];
    await register(key, body);
    const answer = await register(key, { ...body, ...changes });
    expect([said(answer), setCookiesOf(answer)]).toEqual([reused, []]);
    expect(await madeFor(body.email)).toEqual(once);
    if ("email" in changes) expect(await madeFor(changes.email)).toEqual(none);
  });

  test("another role", async () => {
    const [key, body] = [randomUUID(), registration()];
    await register(key, body, "CU");
    for (const role of ["CO", "RM"] as const) expect(said(await register(key, body, role))).toEqual(reused);
    const { client } = await signUp(stand, "MO");
    const headers = { "idempotency-key": key };
    expect(said(await client.post("/api/v1/users/moderators/", body, { headers }))).toEqual(reused);
  });

  test("a body that was refused takes no key", async () => {
    const [key, body] = [randomUUID(), registration()];
    expect((await register(key, { ...body, password: "short" })).status).toBe(400);
    expect((await register(key, body)).status).toBe(201);
  });
});

describe("how long a key is kept", () => {
  const age = (email: string, interval: string) =>
    stand.query(
      `update idempotency_keys set created_at = now() - interval '${interval}'
       where user_id = (select id from users where email = $1)`,
      [email],
    );

  test("for 24 hours; then the address is taken, and the key is free for another request", async () => {
    const [key, body] = [randomUUID(), registration()];
    await register(key, body);
    await age(body.email, "23 hours 59 minutes");
    expect((await register(key, body)).status).toBe(201);
    await age(body.email, "24 hours 1 second");
    expect(said(await register(key, body))).toEqual(taken);
    const other = registration();
    expect((await register(key, other)).status).toBe(201);
    expect((await register(key, other)).json()).toMatchObject({ email: other.email });
    expect(said(await register(key, body))).toEqual(reused);
  });

  test("neither key nor body lies in the database", async () => {
    const [key, body] = [randomUUID(), registration()];
    await register(key, body);
    const [row] = await stand.query<{ text: string }>(
      `select (k.*)::text as text from idempotency_keys k where user_id = (select id from users where email = $1)`,
      [body.email],
    );
    for (const secret of [key, body.email, body.password, body.user_profile.phone]) {
      expect(row?.text).not.toContain(secret);
      expect(row?.text).not.toContain(Buffer.from(secret).toString("hex"));
    }
  });
});

describe("the header Idempotency-Key", () => {
  test.each([
    ["empty", ""],
    ["256 characters", "k".repeat(256)],
  ])("%s: 400 naming it", async (_, key) => {
    const body = registration();
    expect(said(await register(key, body))).toEqual([400, { idempotency_key: [expect.any(String)] }]);
    expect(await madeFor(body.email)).toEqual(none);
  });

  test.each([
    ["one character", () => String.fromCharCode(33 + Math.floor(Math.random() * 90))],
    ["255 characters", () => randomUUID().padEnd(255, "k")],
    ["SQL", () => `'; drop table users; -- ${randomUUID()}`],
    ["JSON", () => `{"$ne":"${randomUUID()}"}`],
  ])("%s: a key like any other", async (_, make) => {
    const [key, body] = [make(), registration()];
    const first = await register(key, body);
    expect((await register(key, body)).text).toBe(first.text);
    expect(await madeFor(body.email)).toEqual(once);
  });

  test("in the body it is ignored, with and without the header", async () => {
    const [key, body] = [randomUUID(), registration()];
    const inBody = { ...body, idempotency_key: key };
    expect((await register(undefined, inBody)).status).toBe(201);
    expect(said(await register(undefined, inBody))).toEqual(taken);
    expect((await register(key, registration({ idempotency_key: "x".repeat(300) }))).status).toBe(201);
  });

  test("on a route that does not know it: ignored", async () => {
    const { email } = await signUp(stand);
    const headers = { "idempotency-key": "" };
    const signIn = { email, password: registration().password };
    expect((await stand.client().post("/api/v1/tokens/", signIn, { headers })).status).toBe(200);
  });
});

test("without a key a doubled request makes one account, one mail, one event; the second is told", async () => {
  const body = registration();
  const answers = await Promise.all([register(undefined, body), register(undefined, body)]);
  expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 400]);
  expect(said(await register(undefined, body))).toEqual(taken);
  expect(await madeFor(body.email)).toEqual(once);
});
