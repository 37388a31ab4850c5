import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import type { Database } from "../../mixins/database/database.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { eventually } from "../support/eventually.ts";
import { memoryLog } from "../unit/helpers.ts";

let stand: TestStand;
let db: Database;
const broadcast = jest.fn<(event: string, about: object) => Promise<void>>(() => Promise.resolve());
const log = memoryLog();
beforeAll(async () => {
  stand = await createStand();
  const node = { config: loadConfig(stand.env), broker: { broadcast }, log } as unknown as Node;
  db = openServiceDatabase(node, "test", 2);
});
afterAll(async () => {
  await db.close();
  await stand.stop();
});
const changed = { name: "access.changed", user_id: 7, revision: 2 } as const;
const told = () => broadcast.mock.calls.splice(0).map(([name, about]) => [name, about]);

test("after the commit, each signal once, before the caller goes on", async () => {
  await db.transaction((tx) => {
    for (const revision of [2, 3, 2]) tx.signal({ ...changed, revision });
    expect(told()).toEqual([]);
    return Promise.resolve();
  });
  expect(told()).toEqual([
    ["access.changed", { user_id: 7, revision: 2 }],
    ["access.changed", { user_id: 7, revision: 3 }],
  ]);
});

test("rolled back: nothing is told", async () => {
  const work = db.transaction((tx) => {
    tx.signal(changed);
    return Promise.reject(new Error("mine"));
  });
  await expect(work).rejects.toThrow("mine");
  expect(told()).toEqual([]);
});

test.each<[string, () => Promise<void>]>([
  ["rejects", () => Promise.reject(new Error("disconnected"))],
  [
    "throws",
    () => {
      throw new Error("disconnected");
    },
  ],
])("a broadcast that %s: the change is committed all the same, and the hint's loss is logged", async (_, fails) => {
  const before = log.lines.length;
  broadcast.mockImplementationOnce(fails);
  const result = await db.transaction((tx) => {
    tx.signal(changed);
    return Promise.resolve("done");
  });
  expect(result).toBe("done");
  const line = await eventually("a line in the log", () => log.lines[before]);
  expect(line).toMatchObject({ level: "debug", fields: { signal: "access.changed" } });
  told();
});
