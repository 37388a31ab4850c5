import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { createTroubles } from "../../../../services/events/troubles.ts";

const at = (offset: string) => ({ topic: "orders", partition: 0, offset });
const fails = () => Promise.reject(new Error("no"));

describe("troubles", () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test("none at first", () => {
    expect(createTroubles().waiting()).toBe(0);
  });

  test("while a message fails; over when it does not", async () => {
    const troubles = createTroubles();
    await expect(troubles.during(at("1"), fails)).rejects.toThrow("no");
    expect(troubles.waiting()).toBe(1);
    await troubles.during(at("1"), () => Promise.resolve());
    expect(troubles.waiting()).toBe(0);
  });

  test("failures are counted for one message; the next one begins anew", () => {
    const troubles = createTroubles();
    expect([troubles.count(at("1")), troubles.count(at("1")), troubles.count(at("2"))]).toEqual([1, 2, 1]);
  });

  test("a failure that does not count leaves the count as it is", async () => {
    const troubles = createTroubles();
    troubles.count(at("1"));
    await expect(troubles.during(at("1"), fails)).rejects.toThrow();
    expect(troubles.count(at("1"))).toBe(2);
  });

  test("of a partition that went to another node: forgotten after a while", async () => {
    const troubles = createTroubles();
    await expect(troubles.during(at("1"), fails)).rejects.toThrow();
    jest.advanceTimersByTime(80_000);
    expect(troubles.waiting()).toBe(0);
  });
});
