import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { said, signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService | undefined;
const running = async () => (service ??= await startService());
beforeEach(async () => {
  // Not "truncate": relay and mailer work on what the last test left, and lock the tables in another order.
  await (await running()).query("update users set is_active = false where role = 'MO'");
});
afterAll(() => service?.stop());

const moderators = async () =>
  (await (await running()).query("select id from users where role = 'MO' and is_active and is_email_verified")).length;
const change = (by: Person, whom: Person, body: unknown) =>
  by.client.request("PATCH", `/api/v1/users/${whom.id}/`, { body });

describe.each([2, 16])("%i moderators at once", (count) => {
  test.each([
    ["demote", { role: "RM" }],
    ["deactivate", { is_active: false }],
    ["take the verified mark from", { is_email_verified: false }],
  ])("who %s each other in a ring: somebody is left who can moderate", async (_, body) => {
    const all: Person[] = [];
    for (let i = 0; i < count; i++) all.push(await signUp(await running(), "MO"));
    const answers = await Promise.all(all.map((one, index) => change(one, all[(index + 1) % count]!, body)));
    expect(await moderators()).toBeGreaterThanOrEqual(1);
    expect(answers.every(({ status }) => [200, 401, 403, 409].includes(status))).toBe(true);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(count - (await moderators()));
  });

  test("who all resign at once: one stays", async () => {
    const all: Person[] = [];
    for (let i = 0; i < count; i++) all.push(await signUp(await running(), "MO"));
    const answers = await Promise.all(all.map((one) => change(one, one, { role: "CU" })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([
      ...Array.from({ length: count - 1 }, () => 200),
      409,
    ]);
    expect(await moderators()).toBe(1);
  });
});

test("16 changes of one account at once: versions without gaps, one event each", async () => {
  const [moderator, person] = [await signUp(await running(), "MO"), await signUp(await running())];
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, n) => change(moderator, person, { user_profile: { first_name: `Ewa ${n}` } })),
  );
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  const events = await (
    await running()
  ).query<{ version: number }>("select version from outbox where user_id = $1 order by version", [person.id]);
  expect(events.map(({ version }) => version)).toEqual(Array.from({ length: 17 }, (_, n) => n + 1));
});

test("a birth date changed while the role changes: the account is never too young for what it becomes", async () => {
  const on = await running();
  const person = await signUp(on);
  const birth_date = `${new Date().getUTCFullYear() - 17}-01-01`;
  const other = new pg.Client({ connectionString: on.database.url });
  await other.connect();
  try {
    // A moderator's change that is about to be committed: the account's row is locked, its old role still to be seen.
    await other.query("begin");
    await other.query("update users set role = 'RM' where id = $1", [person.id]);
    const own = person.client.request("PATCH", "/api/v1/users/current/", { body: { user_profile: { birth_date } } });
    await eventually("the account's own change waits", async () => {
      const waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      return (await on.query(waiting)).length > 0 ? true : undefined;
    });
    await other.query("commit");
    const told = { user_profile: { birth_date: ["You must be at least 18 years old."] } };
    expect(said(await own)).toEqual([400, told]);
  } finally {
    await other.end();
  }
});
