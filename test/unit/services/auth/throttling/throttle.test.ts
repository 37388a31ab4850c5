import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { ServiceError } from "../../../../../lib/errors.ts";
import { createSecurityLog } from "../../../../../lib/security-log.ts";
import { AuditBuffer } from "../../../../../mixins/audit/audit-buffer.ts";
import type { Counters } from "../../../../../services/auth/throttling/counters/counters.ts";
import { Throttle } from "../../../../../services/auth/throttling/throttle.ts";
import { actor, config, memoryLog, rejection } from "../../../helpers.ts";
import { pass } from "../../../mixins/account-cache/time.ts";

afterEach(() => void jest.restoreAllMocks());

function throttleOver(resetMs: number) {
  const counts = new Map<string, number>();
  const add = jest.fn<Counters["add"]>((key) => {
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return Promise.resolve({ count, resetMs });
  });
  const settle = jest.fn<Counters["settle"]>(({ forget = [], takeBack = [] }) => {
    for (const key of forget) counts.delete(key);
    for (const key of takeBack) counts.set(key, (counts.get(key) ?? 0) - 1);
    return Promise.resolve();
  });
  const log = memoryLog();
  const counters = { add, settle, set: () => Promise.resolve(), close: () => undefined };
  const throttle = new Throttle(
    config().budgets,
    counters,
    new AuditBuffer(createSecurityLog(log), () => Promise.resolve()),
  );
  const spend = () => throttle.spend(actor(), "reset-mails", "somebody");
  const spendAll = async () => {
    for (let each = 0; each < 3; each++) await spend();
  };
  return { throttle, spend, spendAll, add, log };
}

describe("throttle", () => {
  test("beyond the budget: 429, with the whole seconds until there is one again", async () => {
    const { spend, spendAll } = throttleOver(1234);
    await spendAll();
    expect(await rejection(spend())).toMatchObject({ type: "too_many_requests", data: { retryAfterSeconds: 2 } });
  });

  test("at the end of its time: still a second, never 0", async () => {
    const { spend, spendAll } = throttleOver(0);
    await spendAll();
    expect(await rejection(spend())).toMatchObject({ data: { retryAfterSeconds: 1 } });
  });

  test("a flood: refused from memory within a second, counted and told once, without what was typed", async () => {
    const { spend, spendAll, add, log } = throttleOver(60_000);
    await spendAll();
    for (let each = 0; each < 100; each++) {
      expect(await rejection(spend())).toMatchObject({ data: { retryAfterSeconds: 60 } });
    }
    expect(add).toHaveBeenCalledTimes(4);
    expect(log.lines.map(({ fields }) => fields)).toEqual([
      {
        event: "excess_rate_limit_exceeded",
        budget: "reset-mails",
        user_id: undefined,
        ip: "192.0.2.1",
        user_agent: "test",
        request_id: "request-1",
      },
    ]);
    await pass(1001);
    await rejection(spend());
    expect([add.mock.calls.length, log.lines.length]).toEqual([5, 2]);
  });

  test("forgotten: there is a budget at once", async () => {
    const { throttle, spend, spendAll } = throttleOver(60_000);
    await spendAll();
    await rejection(spend());
    await throttle.forget(["reset-mails:somebody"]);
    expect(await spend()).toBe("reset-mails:somebody");
  });

  test("taken back: one more fits", async () => {
    const { throttle, spend, spendAll } = throttleOver(60_000);
    await spendAll();
    await throttle.takeBack(["reset-mails:somebody"]);
    expect(await spend()).toBe("reset-mails:somebody");
  });

  test("what cannot be counted is refused", async () => {
    const { spend, add } = throttleOver(60_000);
    add.mockRejectedValue(new ServiceError("unavailable"));
    expect(await rejection(spend())).toMatchObject({ type: "unavailable" });
  });
});
