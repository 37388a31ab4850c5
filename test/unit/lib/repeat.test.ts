import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { repeat } from "../../../lib/repeat.ts";
import { memoryLog } from "../helpers.ts";

const interval = 1000;
type Outcome = "more" | "done" | Error;

beforeEach(() => {
  jest.useFakeTimers();
  // The longest pause that the jitter allows.
  jest.spyOn(Math, "random").mockReturnValue(1);
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

/** A loop over prepared outcomes ("done" when they run out), and how often its work has started. */
function loopOver(...outcomes: Outcome[]) {
  const log = memoryLog();
  let runs = 0;
  const loop = repeat("relay", log, interval, () => {
    const outcome = outcomes[runs++] ?? "done";
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
  });
  return { loop, log, runs: () => runs };
}
const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

describe("repeat: in good times", () => {
  test("starts at once and runs again after the interval", async () => {
    const { loop, runs } = loopOver();
    await pass(0);
    expect(runs()).toBe(1);
    await pass(interval - 1);
    expect(runs()).toBe(1);
    await pass(1);
    expect(runs()).toBe(2);
    await loop.stop();
  });

  test("while there is more it goes on without a pause", async () => {
    const { loop, runs } = loopOver("more", "more", "more", "done");
    await pass(0);
    expect(runs()).toBe(4);
    await loop.stop();
  });

  test("runs one at a time, however often it is woken", async () => {
    let [active, most] = [0, 0];
    const loop = repeat("relay", memoryLog(), interval, async () => {
      most = Math.max(most, ++active);
      await new Promise((resolve) => setTimeout(resolve, 50));
      active--;
      return "done";
    });
    for (let i = 0; i < 10; i++) {
      loop.wake();
      await pass(20);
    }
    const stopped = loop.stop();
    await pass(100);
    await stopped;
    expect(most).toBe(1);
  });

  test("woken in a pause it runs at once", async () => {
    const { loop, runs } = loopOver();
    await pass(10);
    loop.wake();
    await pass(0);
    expect(runs()).toBe(2);
    await loop.stop();
  });

  test("woken while it works it runs once more afterwards, and then pauses", async () => {
    let runs = 0;
    const loop = repeat("relay", memoryLog(), interval, async () => {
      runs++;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return "done";
    });
    await pass(10);
    loop.wake();
    await pass(40);
    expect(runs).toBe(2);
    await pass(50 + interval - 1);
    expect(runs).toBe(2);
    await pass(1);
    expect(runs).toBe(3);
    const stopped = loop.stop();
    await pass(50);
    await stopped;
  });

  test("logs nothing", async () => {
    const { loop, log } = loopOver("more", "done");
    await pass(5 * interval);
    await loop.stop();
    expect(log.lines).toEqual([]);
  });
});

describe("repeat: when the work fails", () => {
  const failures = (count: number) => Array.from({ length: count }, () => new Error("away"));

  test("waits twice as long each time, and never more than 30 s", async () => {
    const { loop, runs } = loopOver(...failures(8));
    await pass(0);
    for (const [index, wait] of [2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].entries()) {
      await pass(wait - 1);
      expect(runs()).toBe(index + 1);
      await pass(1);
      expect(runs()).toBe(index + 2);
    }
    await loop.stop();
  });

  test("the jitter takes up to half of a pause", async () => {
    jest.spyOn(Math, "random").mockReturnValue(0);
    const { loop, runs } = loopOver(...failures(1));
    await pass(999);
    expect(runs()).toBe(1);
    await pass(1);
    expect(runs()).toBe(2);
    await loop.stop();
  });

  test("hints do not shorten the pause, nor are they kept for later", async () => {
    const { loop, runs } = loopOver(...failures(1));
    await pass(0);
    loop.wake();
    await pass(1999);
    expect(runs()).toBe(1);
    await pass(1);
    expect(runs()).toBe(2);
    await pass(interval - 1);
    expect(runs()).toBe(2);
    await loop.stop();
  });

  test("a hint that came while the work failed does not shorten the pause either", async () => {
    let runs = 0;
    const loop = repeat("relay", memoryLog(), interval, async () => {
      runs++;
      await new Promise((resolve) => setTimeout(resolve, 50));
      throw new Error("away");
    });
    await pass(10);
    loop.wake();
    await pass(40 + 1999);
    expect(runs).toBe(1);
    await pass(1);
    expect(runs).toBe(2);
    const stopped = loop.stop();
    await pass(50);
    await stopped;
  });

  test("a success forgets the failures: the next one starts with the short pause", async () => {
    const { loop, runs } = loopOver(...failures(2), "done", ...failures(1));
    await pass(2000 + 4000);
    expect(runs()).toBe(3);
    await pass(interval);
    expect(runs()).toBe(4);
    await pass(2000);
    expect(runs()).toBe(5);
    await loop.stop();
  });

  test("every failure is logged with its reason, and so is the recovery", async () => {
    const { loop, log } = loopOver(...failures(2));
    await pass(2000 + 4000);
    await loop.stop();
    expect(log.lines).toEqual([
      {
        level: "warn",
        fields: { loop: "relay", failures: 1, reason: "away" },
        message: "relay failed and will try again",
      },
      {
        level: "warn",
        fields: { loop: "relay", failures: 2, reason: "away" },
        message: "relay failed and will try again",
      },
      { level: "info", fields: { loop: "relay", failures: 2 }, message: "relay works again" },
    ]);
  });

  test("what is thrown and is no error, or is thrown at once, is a failure like any other", async () => {
    const log = memoryLog();
    const loop = repeat("relay", log, interval, () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- that is the case
      throw "just a word";
    });
    await pass(0);
    await loop.stop();
    expect(log.lines[0]?.fields).toMatchObject({ reason: "just a word" });
  });
});

describe("repeat: stop", () => {
  test.each([
    ["in a pause", "done" as const],
    ["in a back-off", new Error("away")],
  ])("%s it ends at once and runs no more", async (_, outcome) => {
    const { loop, runs } = loopOver(outcome);
    await pass(10);
    await loop.stop();
    await pass(60_000);
    expect(runs()).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test("while the work runs it waits for it", async () => {
    const work = Promise.withResolvers<"more">();
    const loop = repeat("relay", memoryLog(), interval, () => work.promise);
    let ended = false;
    const stopped = loop.stop().then(() => (ended = true));
    await pass(60_000);
    expect(ended).toBe(false);
    work.resolve("more");
    await stopped;
    expect(ended).toBe(true);
  });

  test("a second time, and being woken afterwards, do nothing", async () => {
    const { loop, runs } = loopOver();
    await pass(0);
    await loop.stop();
    await loop.stop();
    loop.wake();
    await pass(60_000);
    expect(runs()).toBe(1);
  });
});
