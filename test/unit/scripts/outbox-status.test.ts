import { expect, test } from "@jest/globals";
import { describeStatus, type OutboxStatus } from "../../../scripts/cli/outbox-status.ts";

const status: OutboxStatus = {
  unpublished: 7,
  oldest_seconds: 1.25,
  parked: 101,
  held: 3,
  leader: false,
  last_published_at: null,
  replaying: true,
  skipped: 1,
  changes: [
    {
      id: "0b9f2d6e-3a4c-4d5e-8f60-718293a4b5c6",
      user_id: 42,
      type: "user.registered",
      version: 1,
      attempts: 5,
      reason: 'there is no topic "user_menu"',
      parked_at: new Date("2026-12-31T18:00:00Z"),
      holds: 3,
    },
  ],
};

test("outbox status, for people: what waits, who publishes, and each parked change with its reason", () => {
  expect(describeStatus(status, "7")).toBe(`relay               runs on no node that reaches this database
last published      nothing in the last 7 days
unpublished         7
oldest that may go  1.3 s
parked              101
held behind them    3
skipped             1 in the last 7 days
replay              under way

0b9f2d6e-3a4c-4d5e-8f60-718293a4b5c6  user 42, user.registered, version 1
  parked 2026-12-31T18:00:00.000Z after 5 attempts, holds 3 later
  there is no topic "user_menu"

... and 100 more`);
});

test("outbox status, for people: all is well", () => {
  const well = { ...status, parked: 0, held: 0, changes: [], replaying: false, leader: true };
  const text = describeStatus({ ...well, last_published_at: new Date("2026-12-31T18:00:00Z") }, "7");
  expect(text).toMatch(/^relay +runs\nlast published +2026-12-31T18:00:00\.000Z\n/);
  expect(text).not.toMatch(/replay|more|\n\n/);
});
