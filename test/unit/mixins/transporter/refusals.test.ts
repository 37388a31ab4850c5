import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { Refusals } from "../../../../mixins/transporter/refusals.ts";
import { memoryLog } from "../../helpers.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

test("Refusals: the first is told at once, all others of a minute together, and then nothing", () => {
  const log = memoryLog();
  const refusals = new Refusals<"forged" | "repeated">(log, "dropped");
  for (let n = 0; n < 1000; n++) refusals.count("forged");
  refusals.count("repeated");
  expect(log.lines.map(({ fields }) => fields)).toEqual([{ refused: { forged: 1 } }]);
  jest.advanceTimersByTime(60_000);
  expect(log.lines.slice(1).map(({ fields }) => fields)).toEqual([{ refused: { forged: 999, repeated: 1 } }]);
  jest.advanceTimersByTime(600_000);
  expect(log.lines).toHaveLength(2);
  refusals.count("forged");
  expect(log.lines).toHaveLength(3);
});
