import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { auditedEventNames } from "../../lib/security-log.ts";
import { eventually } from "../support/eventually.ts";
import type { TestStand } from "../support/service.ts";
import { auditFields, said, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

/** A day of which nothing else tells: what tests look at is theirs alone. */
const day = "2020-02-03";
const here = `from=${day}&to=2020-02-04`;
interface Entry {
  readonly id: number;
  readonly occurred_at: string;
  readonly event: string;
  readonly outcome: string;
  readonly actor_id: number | null;
  readonly subject_id: number | null;
  readonly ip: string;
}
let stand: TestStand;
let moderator: Person;
beforeAll(async () => {
  stand = await startStand({ AUDIT_RETENTION: "3650d" });
  moderator = await signUp(stand, "MO");
  // Two of each second, so that time alone is no order; every value of a filter stands beside every other.
  await stand.query(
    `insert into audit_log (occurred_at, event, outcome, actor_id, subject_id, ip, user_agent, request_id, details)
     select $1::timestamptz + make_interval(secs => n / 2), (array['authz_change', 'malicious_csrf', 'user_updated'])[1 + n % 3],
       (array['success', 'refused', 'failure'])[1 + n / 3 % 3], nullif(900001 + n % 5, 900005), nullif(900002 + n % 7, 900008),
       (array['192.0.2.1', '2001:db8::1'])[1 + n % 2], 'a "browser" <b>', 'request-' || n, jsonb_build_object('n', n)
     from generate_series(0, 209) n`,
    [`${day}T12:00:00Z`],
  );
});
afterAll(() => stand.stop());

const path = "/api/v1/audit/";
const ask = (query: string) => moderator.client.get(`${path}?${query}`);
const entriesOf = (text: string) => JSON.parse(text) as Entry[];
const found = async (query: string): Promise<Entry[]> => {
  const answer = await ask(query);
  expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  return entriesOf(answer.text);
};
const ids = (entries: readonly Entry[]) => entries.map(({ id }) => id);
/** Straight from the table. */
const stored = async (where = "true") => {
  const rows = await stand.query<{ id: number }>(
    `select id::int from audit_log where occurred_at >= '${day}Z' and occurred_at < '2020-02-04Z' and ${where}
     order by occurred_at desc, id desc`,
  );
  return rows.map(({ id }) => id);
};
const nextOf = (link: string | null) => /^<([^>]+)>; rel="next"$/.exec(link ?? "")?.[1];
async function pages(query: string): Promise<Entry[][]> {
  const all: Entry[][] = [];
  for (let next: string | undefined = `${path}?${query}`; next !== undefined;) {
    const answer = await moderator.client.get(next);
    expect(answer.status).toBe(200);
    all.push(entriesOf(answer.text));
    next = nextOf(answer.headers.get("link"));
  }
  return all;
}

describe("GET /audit/", () => {
  test("the newest first, each with all that is known, kept by no cache", async () => {
    const answer = await ask(`${here}&limit=1`);
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    const [entry] = entriesOf(answer.text);
    expect(Object.keys(entry ?? {}).toSorted()).toEqual(auditFields);
    expect(entry).toEqual({
      id: (await stored())[0],
      occurred_at: `${day}T12:01:44.000000Z`,
      event: "user_updated",
      outcome: "success",
      actor_id: null,
      subject_id: null,
      ip: "2001:db8::1",
      user_agent: 'a "browser" <b>',
      request_id: "request-209",
      details: { n: 209 },
    });
  });

  test.each([
    ["actor=900001", "actor_id = 900001"],
    ["subject=900003", "subject_id = 900003"],
    ["event=malicious_csrf", "event = 'malicious_csrf'"],
    ["ip=192.0.2.1", "ip = '192.0.2.1'"],
    ["ip=2001:db8::1", "ip = '2001:db8::1'"],
    ["outcome=success", "outcome = 'success'"],
    ["outcome=failure", "outcome = 'failure'"],
    ["outcome=refused", "outcome = 'refused'"],
    [
      "actor=900002&subject=900003&event=malicious_csrf&ip=2001:db8::1&outcome=success",
      "actor_id = 900002 and subject_id = 900003 and event = 'malicious_csrf' and ip = '2001:db8::1' and outcome = 'success'",
    ],
    ["unknown=1&__proto__=x&actor=900001", "actor_id = 900001"],
  ])("%s", async (query, where) => {
    const entries = await found(`${here}&limit=1000&${query}`);
    expect(ids(entries)).toEqual(await stored(where));
    expect(entries).not.toEqual([]);
  });

  test.each([
    [`from=${day}T12:01:00Z&to=2020-02-04`, `occurred_at >= '${day} 12:01Z'`],
    [`from=${day}&to=${day}T12:01:00Z`, `occurred_at < '${day} 12:01Z'`],
    [`from=${day}T12:00:10Z&to=${day}T12:00:20.5Z`, `occurred_at between '${day} 12:00:10Z' and '${day} 12:00:20Z'`],
  ])("%s: not before the first, before the second", async (query, where) => {
    const entries = await found(`${query}&limit=1000`);
    expect(ids(entries)).toEqual(await stored(where));
    expect(entries).not.toEqual([]);
  });

  test("pages by the Link header: each row once, in order, however small the page", async () => {
    for (const limit of [7, 100, 1000]) {
      const all = await pages(`${here}&outcome=success&limit=${limit}`);
      expect(ids(all.flat())).toEqual(await stored("outcome = 'success'"));
      expect(all.slice(0, -1).every((page) => page.length === limit)).toBe(true);
      expect(all.at(-1)).not.toEqual([]);
    }
    expect((await ask(`${here}&limit=210`)).headers.get("link")).toBeNull();
    expect(nextOf((await ask(`${here}&limit=209`)).headers.get("link"))).toMatch(/[?&]to=2020-02-04(?:&|$)/);
  });

  test("a hundred without a limit; nothing that fits: an empty list", async () => {
    expect(await found(here)).toHaveLength(100);
    expect(await found(`${here}&actor=424242`)).toEqual([]);
    expect(await found("from=2020-02-04&to=2020-02-03")).toEqual([]);
  });

  test.each([
    "actor=0",
    "actor=-1",
    "actor=x",
    "actor=1.5",
    "actor=99999999999999999999",
    "actor=1&actor=2",
    "subject=0",
    "subject=anna@example.com",
    "subject=",
    "event=",
    "event=login",
    "event=AUTHZ_FAIL",
    "event=authz_fail&event=authz_change",
    "ip=",
    "ip=localhost",
    "ip=999.0.0.1",
    "ip=192.0.2.1'--",
    "ip=192.0.2.1&ip=192.0.2.2",
    `ip=${"1".repeat(65)}`,
    "outcome=ok",
    "outcome=",
    "from=yesterday",
    "from=2026-02-30",
    "from=2026-02-01T10:00:00",
    "from=0000-01-01",
    "from=",
    `to=${"2".repeat(33)}`,
    "to=1",
    "to=2026-01-01&to=2026-01-02",
    "limit=0",
    "limit=1001",
    "limit=abc",
  ])("%s: 400 at that parameter, which is not repeated", async (query) => {
    const answer = await ask(query);
    const [name = "", value = ""] = query.split(/[=&]/);
    expect(said(answer)).toEqual([400, { [name]: [expect.any(String)] }]);
    if (value.length > 4) expect(answer.text).not.toContain(value);
  });

  test("two that are wrong: both are named", async () => {
    expect(said(await ask("from=x&ip=y"))).toEqual([400, { from: [expect.any(String)], ip: [expect.any(String)] }]);
  });

  test("a cursor that was not ours, or is another list's: 400", async () => {
    const cursorOf = async (url: string) => {
      const link = (await moderator.client.get(url)).headers.get("link");
      return new URLSearchParams(nextOf(link)?.split("?")[1]).get("after") ?? "";
    };
    await signUp(stand);
    await signUp(stand);
    const cursor = await cursorOf(`${path}?${here}&limit=1`);
    const others = await cursorOf("/api/v1/users/?limit=1");
    expect(others).not.toBe("");
    const position = JSON.stringify({ at: "2020-01-01T00:00:00Z", id: 1 });
    const forged = Buffer.concat([Buffer.alloc(16), Buffer.from(position)]).toString("base64url");
    const changed = `${cursor.slice(0, -3)}${cursor.endsWith("AAA") ? "BBB" : "AAA"}`;
    for (const after of ["", "x", changed, forged, others, cursor.slice(4), "%00"]) {
      expect(said(await ask(`after=${after}`))).toEqual([
        400,
        { detail: "The cursor is not valid.", code: "invalid_cursor" },
      ]);
    }
    expect((await ask(`${here}&after=${cursor}`)).status).toBe(200);
  });

  test("a cursor says where, not what: it is good with other filters as well", async () => {
    const link = (await ask(`${here}&limit=5`)).headers.get("link");
    const after = new URLSearchParams(nextOf(link)?.split("?")[1]).get("after") ?? "";
    const rest = await found(`${here}&limit=1000&event=authz_change&after=${after}`);
    expect(ids(rest)).toEqual((await stored("event = 'authz_change'")).filter((id) => ids(rest).includes(id)));
    expect(rest.length).toBeGreaterThan(60);
  });

  test("that a moderator looked is written down: who, at whom, by which filters, and nothing that was typed", async () => {
    const reader = await signUp(stand, "MO");
    await reader.client.get(`${path}?subject=900003&ip=203.0.113.77&limit=1`);
    const read = "select event, outcome, subject_id::int, details from audit_log where actor_id = $1";
    expect(await stand.query(read, [reader.id])).toEqual([
      {
        event: "sensitive_read",
        outcome: "success",
        subject_id: 900_003,
        details: { object: "audit_log", filters: ["subject", "ip"] },
      },
    ]);
    await reader.client.get(`${path}?from=x`);
    expect(await stand.query(read, [reader.id])).toHaveLength(1);
  });

  test("every event of the list can be asked for", async () => {
    for (const event of auditedEventNames) expect((await ask(`event=${event}&limit=1`)).status).toBe(200);
  });
});

describe("who may not", () => {
  test.each([
    ["a customer", "CU", true, "permission_denied"],
    ["a courier", "CO", true, "permission_denied"],
    ["a manager", "RM", true, "permission_denied"],
    ["an unverified moderator", "MO", false, "email_not_verified"],
  ] as const)("%s: 403, and that is in the log", async (_, role, verified, code) => {
    const person = await signUp(stand, role, { verified });
    expect(said(await person.client.get(path))).toEqual([403, { detail: expect.any(String), code }]);
    const [entry] = await eventually("the refusal is written down", async () => {
      const entries = await found(`actor=${person.id}`);
      return entries.length > 0 ? entries : undefined;
    });
    expect(entry).toMatchObject({
      event: "authz_fail",
      outcome: "refused",
      subject_id: null,
      details: { route: "GET /api/v1/audit/", code },
    });
  });

  test("nobody: 401, and no row", async () => {
    const before = await stand.query("select 1 from audit_log");
    expect((await stand.client().get(path)).status).toBe(401);
    expect(await stand.query("select 1 from audit_log")).toHaveLength(before.length);
  });
});
