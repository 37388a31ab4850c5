import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { Circuit } from "../../../../mixins/redis/circuit.ts";
import { memoryLog } from "../../helpers.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function circuitOver(works: { well: boolean }) {
  const log = memoryLog();
  const opened = jest.fn();
  const circuit = new Circuit("reading", "without the cache", log, opened);
  const work = jest.fn(() => (works.well ? Promise.resolve("answer") : Promise.reject(new Error("gone"))));
  const attempt = () => circuit.attempt(work);
  /** Far enough from each other to count each. */
  const failures = async (count: number) => {
    for (let each = 0; each < count; each++) {
      await attempt();
      jest.advanceTimersByTime(50);
    }
  };
  return { attempt, failures, work, opened, lines: log.lines };
}

describe("circuit", () => {
  test("what works is handed on, and nothing is said about it", async () => {
    const { attempt, lines } = circuitOver({ well: true });
    expect(await attempt()).toBe("answer");
    expect(lines).toEqual([]);
  });

  test("a failure is no answer, and never an error", async () => {
    const { attempt } = circuitOver({ well: false });
    expect(await attempt()).toBeUndefined();
  });

  test("three failures: left alone for a second, told once, then one attempt a second", async () => {
    const { attempt, failures, work, opened, lines } = circuitOver({ well: false });
    await failures(3);
    for (let each = 0; each < 10; each++) expect(await attempt()).toBeUndefined();
    expect(work).toHaveBeenCalledTimes(3);
    expect(opened).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(1000);
    await Promise.all([attempt(), attempt(), attempt()]);
    expect(work).toHaveBeenCalledTimes(4);
    expect(await attempt()).toBeUndefined();
    expect(work).toHaveBeenCalledTimes(4);
    expect(opened).toHaveBeenCalledTimes(1);
    expect(lines).toEqual([
      { level: "warn", fields: { reason: "gone" }, message: "reading fails: it goes on without the cache" },
    ]);
  });

  test("works again: all attempts are made again, told once", async () => {
    const works = { well: false };
    const { attempt, failures, work, lines } = circuitOver(works);
    await failures(3);
    works.well = true;
    jest.advanceTimersByTime(1000);
    expect(await attempt()).toBe("answer");
    expect(await Promise.all([attempt(), attempt()])).toEqual(["answer", "answer"]);
    expect(work).toHaveBeenCalledTimes(6);
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "reading fails: it goes on without the cache"],
      ["info", "reading works again"],
    ]);
  });

  test("many that fail together count as one: this process may have paused", async () => {
    const { attempt, work, opened } = circuitOver({ well: false });
    await Promise.all(Array.from({ length: 100 }, attempt));
    await attempt();
    expect(work).toHaveBeenCalledTimes(101);
    expect(opened).not.toHaveBeenCalled();
  });

  test("a success in between: it counts from the beginning", async () => {
    const works = { well: false };
    const { attempt, failures, opened } = circuitOver(works);
    await failures(2);
    works.well = true;
    await attempt();
    works.well = false;
    await failures(2);
    expect(opened).not.toHaveBeenCalled();
  });

  test("what is thrown and is no error is told all the same", async () => {
    const log = memoryLog();
    const circuit = new Circuit("reading", "without the cache", log, () => undefined);
    const rejected = Promise.withResolvers<never>();
    rejected.promise.catch(() => undefined);
    rejected.reject("text");
    for (let each = 0; each < 3; each++) {
      await circuit.attempt(() => rejected.promise);
      jest.advanceTimersByTime(50);
    }
    expect(log.lines.map(({ fields }) => fields)).toEqual([{ reason: "text" }]);
  });
});
