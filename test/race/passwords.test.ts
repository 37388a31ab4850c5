import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import {
  mailedLink,
  patiently,
  resetRequestsFollowedUp,
  said,
  signUp,
  submitForm,
  tokenOf,
  type Person,
} from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import type { Answer, Client } from "../support/client.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const chosen = (n: number) => `seven bicycles in the rain ${n}`;
const times = <T>(n: number, make: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: n }, (_, index) => make(index)));
const statuses = (answers: readonly Answer[]) => answers.map(({ status }) => status).toSorted();
const others = (status: number) => Array.from({ length: 15 }, () => status);

async function signIn({ email }: Person, typed = password): Promise<Client> {
  const client = service.client();
  await patiently(() => client.post("/api/v1/tokens/", { email, password: typed }));
  return client;
}
const change = (client: Client, n: number) =>
  patiently(() =>
    client.post("/api/v1/users/current/password/", { current_password: password, new_password: chosen(n) }),
  );
const confirm = (token: string, n: number) =>
  patiently(() => service.client().post("/api/v1/users/password-reset/confirm/", { token, new_password: chosen(n) }));
async function resetLink({ email }: Person): Promise<string> {
  await service.client().post("/api/v1/users/password-reset/", { email });
  return await mailedLink(service, "reset-password", email);
}

/** Who won is who can sign in, and everything that belongs to it has happened once. */
async function expectOneChange(person: Person, winner: number, liveSessions: number): Promise<void> {
  const events = "select type from outbox where user_id = $1 and type = 'user.password_changed'";
  expect(await service.query(events, [person.id])).toHaveLength(1);
  const audited = "select 1 from audit_log where subject_id = $1 and event = 'authn_password_change'";
  expect(await service.query(audited, [person.id])).toHaveLength(1);
  const notices = "select 1 from mails where user_id = $1 and kind = 'password-changed'";
  expect(await service.query(notices, [person.id])).toHaveLength(1);
  const live = "select 1 from sessions where user_id = $1 and ended_at is null";
  expect(await service.query(live, [person.id])).toHaveLength(liveSessions);
  const current = (typed: string) =>
    signIn(person, typed).then(async (client) => (await client.get("/api/v1/users/current/")).status);
  expect(await times(16, (n) => current(chosen(n)))).toEqual(
    Array.from({ length: 16 }, (_, n) => (n === winner ? 200 : 401)),
  );
  expect(await current(password)).toBe(401);
}
const winnerOf = (answers: readonly Answer[]) => answers.findIndex(({ status }) => status === 200);

describe("16 changes of one password at once", () => {
  test.each([
    ["by one session", (person: Person) => times(16, () => Promise.resolve(person.client))],
    ["by 16 sessions", (person: Person) => times(16, () => signIn(person))],
  ])("%s: one counts, and only its session lives", async (_, clientsOf) => {
    const person = await signUp(service);
    // Each with the cookies of before: a browser would have taken the winner's.
    const clients = (await clientsOf(person)).map((client) => {
      const own = service.client();
      for (const [name, cookie] of client.cookies) own.cookies.set(name, cookie);
      return own;
    });
    const answers = await Promise.all(clients.map((client, n) => change(client, n)));
    // Who was let in before and compared after the change is told that the old password is not right.
    expect(statuses(answers).map((status) => (status === 400 ? 401 : status))).toEqual([200, ...others(401)]);
    const alive = await Promise.all(clients.map((client) => client.get("/api/v1/users/current/")));
    expect(statuses(alive)).toEqual([200, ...others(401)]);
    await expectOneChange(person, winnerOf(answers), 1);
  });

  test("while 8 others sign in with the old one: no session of the old one lives", async () => {
    const person = await signUp(service);
    const [changed, ...signedIn] = await Promise.all([
      change(person.client, 0),
      ...Array.from({ length: 8 }, async () => {
        const client = service.client();
        const { status } = await patiently(() => client.post("/api/v1/tokens/", { email: person.email, password }));
        return { status, client };
      }),
    ]);
    expect(changed.status).toBe(200);
    expect(signedIn.every(({ status }) => [200, 401].includes(status))).toBe(true);
    for (const { client } of signedIn) {
      expect((await client.get("/api/v1/users/current/")).status).toBe(401);
      expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(401);
    }
    await expectOneChange(person, 0, 1);
  });

  test("while its session is refreshed 15 times: nothing that was given before still works", async () => {
    const person = await signUp(service);
    const headers = { cookie: `refresh_token=${person.client.cookie("refresh_token") ?? ""}` };
    const [changed, ...clients] = await Promise.all([
      change(person.client, 0),
      ...Array.from({ length: 15 }, async () => {
        const client = service.client();
        await client.post("/api/v1/tokens/refresh/", undefined, { headers });
        return client;
      }),
    ]);
    expect(changed.status).toBe(200);
    for (const client of clients) expect((await client.get("/api/v1/users/current/")).status).toBe(401);
    expect((await person.client.get("/api/v1/users/current/")).status).toBe(200);
  });
});

describe("16 users of one link to set a new password at once", () => {
  test.each([
    ["by JSON", (link: string, n: number) => confirm(tokenOf(link), n)],
    [
      "by its page",
      (link: string, n: number) => patiently(() => submitForm(service, link, { new_password: chosen(n) })),
    ],
  ])("%s: one winner, whose password counts", async (_, use) => {
    const person = await signUp(service);
    const link = await resetLink(person);
    const answers = await times(16, (n) => use(link, n));
    expect(statuses(answers)).toEqual([200, ...others(400)]);
    await expectOneChange(person, winnerOf(answers), 0);
    const verified = "select 1 from outbox where user_id = $1 and type = 'user.email_verified'";
    expect(await service.query(verified, [person.id])).toHaveLength(1);
  });

  test("while the owner changes the password: one of both, never half of each", async () => {
    const person = await signUp(service);
    const token = tokenOf(await resetLink(person));
    const answers = await Promise.all([
      change(person.client, 0),
      ...Array.from({ length: 15 }, (_, n) => confirm(token, n + 1)),
    ]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const winner = winnerOf(answers);
    expect((await person.client.get("/api/v1/users/current/")).status).toBe(winner === 0 ? 200 : 401);
    await expectOneChange(person, winner, winner === 0 ? 1 : 0);
  });

  test("while the same person asks for another link: at most one link works afterwards", async () => {
    const person = await signUp(service);
    const token = tokenOf(await resetLink(person));
    const [first] = await Promise.all([
      confirm(token, 0),
      ...Array.from({ length: 15 }, () =>
        service.client().post("/api/v1/users/password-reset/", { email: person.email }),
      ),
    ]);
    await resetRequestsFollowedUp(service);
    // Those that a newer one overtook in the queue are not sent.
    await eventually("the mails are sent", async () =>
      (await service.query("select 1 from mails where status = 'queued'")).length === 0 ? true : undefined,
    );
    const mailed = (await service.mails()).filter(({ to }) => to.includes(person.email));
    const links = mailed.flatMap(({ text }) => /https?:\/\/\S+\/reset-password\/\S+/.exec(text) ?? []);
    const live = "select 1 from one_time_tokens where user_id = $1 and purpose = 'reset-password' and ended_at is null";
    const usable = (await service.query(live, [person.id])).length;
    expect([200, 400]).toContain(first.status);
    expect([0, 1]).toContain(usable);
    const answers: Answer[] = [];
    for (const [n, link] of links.entries()) answers.push(await confirm(tokenOf(link), n + 1));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(usable);
  });
});

describe("what is committed while a story waits for the account", () => {
  /** Begins with what another transaction is about to commit, and ends when that is done. */
  async function whileLocked<T>(statement: string, values: unknown[], story: () => Promise<T>): Promise<T> {
    const other = new pg.Client({ connectionString: service.database.url });
    await other.connect();
    try {
      await other.query("begin");
      await other.query(statement, values);
      const running = story();
      await eventually("the story waits", async () => {
        const waiting =
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        return (await service.query(waiting)).length > 0 ? true : undefined;
      });
      await other.query("commit");
      return await running;
    } finally {
      await other.end();
    }
  }

  test("another password: the current one that was compared no longer counts", async () => {
    const person = await signUp(service);
    const anotherPassword = `with ended as (update sessions set ended_at = now() where user_id = $1)
      update users set password_hash = 'another', session_epoch = session_epoch + 1 where id = $1`;
    const answer = await whileLocked(anotherPassword, [person.id], () => change(person.client, 0));
    expect(said(answer)).toEqual([401, { detail: "Session has ended", code: "session_ended" }]);
    const [row] = await service.query("select password_hash from users where id = $1", [person.id]);
    expect(row).toEqual({ password_hash: "another" });
  });

  test("the same password under another hash, as a sign-in renews it: the password is changed", async () => {
    const person = await signUp(service);
    const renewed = "update users set password_hash = password_hash || ' ' where id = $1";
    expect(said(await whileLocked(renewed, [person.id], () => change(person.client, 0)))).toEqual([200, {}]);
  });

  test.each([
    ["the end of the session", "update sessions set ended_at = now() where user_id = $1"],
    ["the account is deactivated", "update users set is_active = false where id = $1"],
  ])("%s: the password stays as it is", async (_, statement) => {
    const person = await signUp(service);
    const answer = await whileLocked(statement, [person.id], () => change(person.client, 0));
    expect(said(answer)).toEqual([401, { detail: "Session has ended", code: "session_ended" }]);
    expect(await service.query("select 1 from outbox where user_id = $1", [person.id])).toHaveLength(1);
  });

  test.each([
    ["the account is deactivated", "update users set is_active = false where id = $1"],
    [
      "another address",
      "update users set email = 'other.' || email, email_canonical = 'other.' || email where id = $1",
    ],
  ])("%s: a link to set a new password is refused", async (_, statement) => {
    const person = await signUp(service);
    const token = tokenOf(await resetLink(person));
    const answer = await whileLocked(statement, [person.id], () => confirm(token, 0));
    expect(said(answer)).toEqual([400, { detail: expect.any(String), code: "invalid_link" }]);
    expect(await service.query("select 1 from outbox where user_id = $1", [person.id])).toHaveLength(1);
  });

  test.each([
    ["the account is deactivated", "update users set is_active = false where id = $1"],
    [
      "another address",
      "update users set email = 'other.' || email, email_canonical = 'other.' || email where id = $1",
    ],
  ])("%s: whoever asked for such a link gets none", async (_, statement) => {
    const person = await signUp(service);
    await whileLocked(statement, [person.id], () =>
      service.client().post("/api/v1/users/password-reset/", { email: person.email }),
    );
    await resetRequestsFollowedUp(service);
    const mails = "select 1 from mails where user_id = $1 and kind = 'reset-password'";
    expect(await service.query(mails, [person.id])).toEqual([]);
  });
});

test("16 users at once of one link that takes a change of the address back: one winner, whose password counts", async () => {
  const person = await signUp(service);
  const body = { email: uniqueEmail("new"), current_password: password };
  expect((await person.client.request("PATCH", "/api/v1/users/current/", { body })).status).toBe(200);
  const link = await mailedLink(service, "undo-email", person.email);
  const answers = await times(16, (n) => patiently(() => submitForm(service, link, { new_password: chosen(n) })));
  expect(statuses(answers)).toEqual([200, ...others(400)]);
  const winner = winnerOf(answers);
  const signedIn = await times(16, (n) =>
    patiently(() => service.client().post("/api/v1/tokens/", { email: person.email, password: chosen(n) })),
  );
  expect(winnerOf(signedIn)).toBe(winner);
  expect(statuses(signedIn)).toEqual([200, ...others(401)]);
  const events = "select 1 from outbox where user_id = $1 and type = 'user.password_changed'";
  expect(await service.query(events, [person.id])).toHaveLength(1);
});
