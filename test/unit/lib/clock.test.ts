import { expect, test } from "@jest/globals";
import { systemClock } from "../../../lib/clock.ts";

test("the system's clock tells milliseconds since 1970", () => {
  const before = Date.now();
  const told = systemClock.now();
  expect(told).toBeGreaterThanOrEqual(before);
  expect(told).toBeLessThanOrEqual(Date.now());
});
