import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { audit, type Acknowledged, type Message, type SunkMail } from "../support/oracle.ts";
import { registration } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

/** The oracle of all fault tests must see what it is there for. */
let service: TestService;
let acknowledged: Acknowledged[];
let messages: Message[];
let mails: SunkMail[];

beforeAll(async () => {
  service = await startService({ SERVICES: "auth,users,api-gateway" });
});
afterAll(() => service.stop());

beforeEach(async () => {
  await service.query("truncate users, outbox, mails cascade");
  acknowledged = [];
  for (const name of ["Ewa", "Jan"]) {
    const client = service.client();
    const body = registration();
    const registered = await client.post("/api/v1/users/couriers/", body);
    await client.request("PATCH", "/api/v1/users/current/", { body: { user_profile: { first_name: name } } });
    const changes = [{ type: "user.profile_updated", data: { full_name: `${name} Kowalska` } }];
    acknowledged.push({ id: Number(registered.json()["id"]), email: body.email, changes });
  }
  await service.query("update outbox set published_at = now()");
  await service.query("update mails set status = 'sent'");
  type Row = { id: string; user_id: number; version: number };
  const rows = await service.query<Row>("select id, user_id::int, version from outbox order by seq");
  messages = rows.flatMap(({ id, user_id: userId, version }) =>
    ["user_events", ...(version === 1 ? ["user_order", "user_review"] : [])].map((topic) => {
      const headers = { ce_id: id, ce_subject: String(userId) };
      return { topic, partition: 0, offset: 0, key: "", value: "", headers, userId };
    }),
  );
  const queued = await service.query<{ id: string; address: string }>("select id, address from mails");
  mails = queued.map(({ id, address }) => ({ messageId: `${id}@localhost`, to: [address] }));
});

const audited = () => {
  const watch = {
    messages: () => messages,
    ofUser: (userId: number, topic?: string) =>
      messages.filter((each) => each.userId === userId && (topic === undefined || each.topic === topic)),
    caughtUp: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
  return audit(service, watch, acknowledged, { mails: () => Promise.resolve(mails), drainMs: 500 });
};
const nothing = { lost: 0, invented: 0, outOfOrder: 0, whole: 0 };
const first = <T>(values: readonly T[]): T => {
  const [value] = values;
  if (value === undefined) throw new Error("nothing there");
  return value;
};

describe("the oracle", () => {
  test("all promises kept: it finds nothing, and counts", async () => {
    expect(await audited()).toEqual({
      ...nothing,
      acknowledged: 4,
      events: 4,
      duplicates: 0,
      mails: 2,
      duplicateMails: 0,
      findings: [],
    });
  });

  test("the same message twice, the same mail twice: allowed, and counted", async () => {
    messages.push(first(messages));
    mails.push(first(mails));
    expect(await audited()).toMatchObject({ ...nothing, duplicates: 1, duplicateMails: 1 });
  });

  test.each<[string, object, () => unknown]>([
    ["a message is missing", { lost: 1 }, () => messages.pop()],
    [
      "a registration that was acknowledged is not there",
      { lost: 1 },
      () => acknowledged.push({ id: 4711, email: "a@example.com" }),
    ],
    [
      "a change that was acknowledged is not there",
      { lost: 1 },
      () => (acknowledged[0] = { ...first(acknowledged), changes: [{ type: "user.role_changed" }] }),
    ],
    ["the events of both users are swapped", { outOfOrder: 2 }, () => messages.reverse()],
    [
      "events of one user in two partitions",
      { outOfOrder: 1 },
      () => {
        const last = messages.findLastIndex(({ topic }) => topic === "user_events");
        messages[last] = { ...first(messages), ...messages[last], partition: 1 };
      },
    ],
    [
      "an event that nobody committed",
      { invented: 2 },
      () => messages.push({ ...first(messages), headers: { ce_id: randomUUID() } }),
    ],
    [
      "an event on a topic that is not its own",
      { invented: 1 },
      () => messages.push({ ...first(messages), topic: "user_menu" }),
    ],
    ["a mail is missing", { lost: 2 }, () => mails.pop()],
    [
      "a mail that nobody ordered",
      { invented: 1 },
      () => mails.push({ messageId: `${randomUUID()}@x`, to: ["b@example.com"] }),
    ],
    ["a mail to somebody else", { invented: 1 }, () => (mails[0] = { ...first(mails), to: ["b@example.com"] })],
    ["a version is missing", { lost: 2 }, () => service.query("update users set version = 3")],
    ["a name that no event tells", { whole: 2 }, () => service.query("update user_profiles set first_name = 'Eva'")],
    ["an account without a profile", { whole: 4 }, () => service.query("delete from user_profiles")],
  ])("%s: it is found", async (_, expected, spoil) => {
    await spoil();
    const { findings, ...counts } = await audited();
    expect({ ...nothing, ...counts }).toMatchObject({ ...nothing, ...expected });
    expect(findings.length).toBeGreaterThan(0);
  });

  test("mails that were given up: it says so", async () => {
    await service.query("update mails set status = 'abandoned', last_error = 'superseded'");
    mails = [];
    const { findings } = await audited();
    expect(findings).toEqual(acknowledged.map(({ email }) => `no verification mail reached ${email}, superseded`));
  });

  test("rows that nobody publishes: it says so instead of waiting for ever", async () => {
    await service.query("update outbox set published_at = null");
    await expect(audited()).rejects.toThrow("nothing is left of outbox");
  });
});
