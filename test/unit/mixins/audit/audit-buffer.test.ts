import { afterEach, describe, expect, jest, test } from "@jest/globals";
import type { AuditEntry } from "../../../../lib/audit.ts";
import { createSecurityLog } from "../../../../lib/security-log.ts";
import { AuditBuffer } from "../../../../mixins/audit/audit-buffer.ts";
import { actor, memoryLog, principal, rejection } from "../../helpers.ts";
import { pass } from "../account-cache/time.ts";

afterEach(() => void jest.restoreAllMocks());

function refusalsTo(write?: (entries: readonly AuditEntry[]) => Promise<void>) {
  const written: AuditEntry[] = [];
  const log = memoryLog();
  const keep = (entries: readonly AuditEntry[]) => Promise.resolve(void written.push(...entries));
  const refusals = new AuditBuffer(createSecurityLog(log), write ?? keep);
  const flood = (count: number, subjectId?: number) => {
    for (let each = 0; each < count; each++) refusals.tell("authn_login_fail", actor(), { subjectId });
  };
  /** How many events the rows stand for. */
  const told = () => written.reduce((sum, { details }) => sum + 1 + Number(details["suppressed"] ?? 0), 0);
  return { refusals, written, log, flood, told };
}

describe("refusals", () => {
  test("one is in the log at once, and a row with who, whom, where and outcome at the next flush", async () => {
    const { refusals, written, log } = refusalsTo();
    const by = actor({ principal: principal({ userId: 7 }) });
    refusals.tell("authz_fail", by, { subjectId: 8, details: { route: "GET /x/" } });
    expect(log.lines.map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ event: "authz_fail", user_id: 7, subject_id: 8, route: "GET /x/" }),
    ]);
    expect(written).toEqual([]);
    await refusals.flush();
    expect(written).toEqual([
      {
        event: "authz_fail",
        outcome: "refused",
        actor_id: 7,
        subject_id: 8,
        ip: "192.0.2.1",
        user_agent: "test",
        request_id: "request-1",
        details: { route: "GET /x/" },
      },
    ]);
  });

  test("a flood: sixty rows, the rest counted in one more as soon as there is room, and each line in the log", async () => {
    const { refusals, written, log, flood, told } = refusalsTo();
    flood(10_000);
    await refusals.flush();
    expect(written).toHaveLength(60);
    await pass(10_000);
    await refusals.flush();
    expect([written.length, told()]).toEqual([61, 10_000]);
    expect(log.lines).toHaveLength(10_000);
  });

  test("an hour of it: one row in ten seconds, and none is left out of the count", async () => {
    const { refusals, written, flood, told } = refusalsTo();
    for (let second = 0; second < 120; second++) {
      flood(500);
      await refusals.flush();
      await pass(30_000);
    }
    await refusals.close();
    expect(written.length).toBeLessThanOrEqual(60 + 360 + 1);
    expect(told()).toBe(60_000);
  });

  test("each account has room of its own, and nobody can hide what happens to another one", async () => {
    const { refusals, written, flood } = refusalsTo();
    const about = (id: number) => written.filter(({ subject_id }) => subject_id === id).length;
    flood(1000);
    flood(1000, 7);
    flood(1, 8);
    await refusals.flush();
    expect([about(7), about(8)]).toEqual([60, 1]);
    await pass(10_000);
    flood(200, 7);
    await refusals.flush();
    expect(about(7)).toBe(62);
  });

  test("who is signed in is told apart by who he is, whomever he tries it on", async () => {
    const { refusals, written } = refusalsTo();
    const by = (userId: number) => actor({ principal: principal({ userId }) });
    for (let subjectId = 1; subjectId <= 100; subjectId++) refusals.tell("authz_fail", by(7), { subjectId });
    refusals.tell("authz_fail", by(8), { subjectId: 1 });
    await refusals.flush();
    expect([7, 8].map((id) => written.filter(({ actor_id }) => actor_id === id).length)).toEqual([60, 1]);
  });

  test("a flood over very many accounts: bounded as well, and none is left out of the count", async () => {
    const { refusals, written, flood, told } = refusalsTo();
    for (let second = 0; second < 60; second++) {
      for (let id = 1; id <= 1000; id++) flood(2, id);
      await refusals.flush();
      await pass(1000);
    }
    // Time passes while they are told as well.
    expect(written.length).toBeLessThanOrEqual(600 + 2 * 90);
    await refusals.close();
    expect(told()).toBe(120_000);
  });

  test("each event has room of its own", async () => {
    const { refusals, written, flood } = refusalsTo();
    flood(1000);
    refusals.tell("malicious_csrf", actor(), { details: { route: "POST /x/" } });
    await refusals.flush();
    expect(written.at(-1)).toMatchObject({ event: "malicious_csrf" });
  });

  test.each([
    ["ten a minute: all of them, in their order", 10, 300],
    ["a hundred a minute: 500, and the others are counted", 100, 500],
  ])("what cannot be written is kept, once; %s", async (_, each, most) => {
    let away = true;
    const written: AuditEntry[] = [];
    const { refusals } = refusalsTo((entries) => {
      if (away) return Promise.reject(new Error("away"));
      return Promise.resolve(void written.push(...entries));
    });
    for (let minute = 1; minute <= 30; minute++) {
      for (let nth = 0; nth < each; nth++) refusals.tell("authz_fail", actor(), { subjectId: minute });
      expect(await rejection(refusals.flush())).toMatchObject({ message: "away" });
      await pass(60_000);
    }
    away = false;
    await refusals.flush();
    expect(written).toHaveLength(most);
    const subjects = written.map(({ subject_id }) => Number(subject_id));
    if (each === 10) expect(subjects).toEqual(subjects.toSorted((a, b) => a - b));
    await refusals.close();
    expect(written.reduce((sum, { details }) => sum + 1 + Number(details["suppressed"] ?? 0), 0)).toBe(30 * each);
  });

  test("at the end what was held back is written, whether there is room or not", async () => {
    const { refusals, flood, told } = refusalsTo();
    flood(100);
    await refusals.close();
    expect(told()).toBe(100);
  });

  test("nothing to tell: nothing is written", async () => {
    const write = jest.fn(() => Promise.resolve());
    const { refusals } = refusalsTo(write);
    await refusals.flush();
    await refusals.close();
    expect(write).not.toHaveBeenCalled();
  });

  test("what a client or a proxy wrote is cut to a length that fits", async () => {
    const { refusals, written } = refusalsTo();
    refusals.tell(
      "malicious_csrf",
      actor({ ip: "x".repeat(999), userAgent: "y".repeat(999), requestId: "z".repeat(999) }),
    );
    await refusals.flush();
    const [{ ip, user_agent, request_id } = { ip: "", user_agent: "", request_id: "" }] = written;
    expect([ip.length, user_agent.length, request_id.length]).toEqual([64, 256, 64]);
  });
});
