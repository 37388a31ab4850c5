import { describe, expect, test } from "@jest/globals";
import { ReplayWindow } from "../../../../mixins/transporter/replay-window.ts";

const size = 8192;

describe("ReplayWindow", () => {
  test("in any order within the window, each number is met once", () => {
    const window = new ReplayWindow();
    const numbers = Array.from({ length: size }, (_, n) => (n * 4099) % size);
    expect(new Set(numbers).size).toBe(size);
    expect(numbers.map((number) => window.take(number))).not.toContain(false);
    expect(numbers.map((number) => window.take(number))).not.toContain(true);
  });

  test("the oldest that can still be known, and the one before it", () => {
    const window = new ReplayWindow();
    window.take(size + 9);
    expect([window.take(10), window.take(10), window.take(9), window.take(0)]).toEqual([true, false, false, false]);
  });

  test.each([1, 31, 32, 33, size - 1, size, size + 1, 3 * size, 2 ** 40])("after a gap of %d", (gap) => {
    const window = new ReplayWindow();
    window.take(5);
    expect([window.take(5 + gap), window.take(5 + gap), window.take(5)]).toEqual([true, false, false]);
    // In the gap, and not older than the window.
    if (gap > 1) expect([window.take(4 + gap), window.take(4 + gap)]).toEqual([true, false]);
  });

  test("a random walk: the same answers as a set that forgets nothing within the window", () => {
    const window = new ReplayWindow();
    const met = new Set<number>();
    const wrong: number[] = [];
    let newest = -1;
    for (let n = 0; n < 50_000; n++) {
      const number = Math.max(0, newest + Math.floor(Math.random() * 40) - 25);
      const expected = number > newest - size && !met.has(number);
      if (window.take(number) !== expected) wrong.push(number);
      met.add(number);
      newest = Math.max(newest, number);
    }
    expect(wrong).toEqual([]);
  });
});
