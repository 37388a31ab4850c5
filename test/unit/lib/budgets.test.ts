import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { blockSeconds, inARow } from "../../../lib/budgets.ts";
import { config, thrown } from "../helpers.ts";

const minute = 60;
const hour = 3600;
const document = readFileSync(join(import.meta.dirname, "../../../docs/security.md"), "utf8");
const row = /^\| `([a-z-]+)` \| [^|]+ \| (\d+) \| (\d+) (min|h) \| `([A-Z_]+)` \|$/gm;

test("6.1.1 budgets, the table in docs/security.md: says of each what holds, and which variable changes it", () => {
  const { budgets } = config();
  const rows = [...document.matchAll(row)];
  expect(rows.map(([, name]) => name)).toEqual(Object.keys(budgets));
  for (const [, name = "", limit, length, unit, variable = ""] of rows) {
    const seconds = Number(length) * (unit === "h" ? hour : minute);
    expect([name, budgets[name as keyof typeof budgets]]).toEqual([name, { limit: Number(limit), seconds }]);
    const changed = config({ [variable]: "7" }).budgets;
    expect([name, changed[name as keyof typeof budgets].limit]).toEqual([name, 7]);
  }
});

test.each([
  ["THROTTLE_WRONG_PASSWORDS", "0", "must be a whole number from 1 to 50"],
  ["THROTTLE_WRONG_PASSWORDS", "51", "must be a whole number from 1 to 50"],
  ["THROTTLE_PER_IP", "0", "must be a whole number from 1 to 1000000"],
  ["THROTTLE_MAILS", "none", "must be a whole number from 1 to 1000000"],
])("budgets, %s=%s: no budget can be switched off", (variable, value, problem) => {
  expect(thrown(() => config({ [variable]: value }))).toMatchObject({ problems: [`${variable} ${problem}`] });
});

describe("blockSeconds", () => {
  const budget = { limit: 5, seconds: 15 * minute };
  const blocks = (upTo: number) =>
    Array.from({ length: upTo }, (_, index) => [index + 1, blockSeconds(budget, index + 1)]).filter(([, s]) => s !== 0);

  test("after every fifth in a row: twice as long each time, up to a day", () => {
    const day = 24 * hour;
    expect(blocks(50)).toEqual([
      [5, 15 * minute],
      [10, 30 * minute],
      [15, hour],
      [20, 2 * hour],
      [25, 4 * hour],
      [30, 8 * hour],
      [35, 16 * hour],
      [40, day],
      [45, day],
      [50, day],
    ]);
  });

  test.each([1, 5, 7, 50])("of %i at once: however they fall, no more than 99 in a row", (limit) => {
    const last = Array.from({ length: 200 }, (_, wrong) => wrong).find(
      (wrong) => blockSeconds({ limit, seconds: 1 }, wrong) === Infinity,
    );
    // One less, and then as many as are compared at the same time.
    expect((last ?? Infinity) - 1 + limit).toBeLessThan(inARow.most);
  });
});
