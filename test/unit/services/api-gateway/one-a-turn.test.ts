import { describe, expect, test } from "@jest/globals";
import { oneATurn } from "../../../../services/api-gateway/one-a-turn.ts";

describe("oneATurn", () => {
  test("does jobs in their order, those that a job adds last, and one in a turn", async () => {
    const done: string[] = [];
    const inTurn = oneATurn();
    inTurn(() => {
      done.push("a");
      inTurn(() => done.push("c"));
    });
    inTurn(() => done.push("b"));
    for (const so of [["a"], ["a", "b"], ["a", "b", "c"]]) {
      await new Promise(setImmediate);
      expect(done).toEqual(so);
    }
  });
});
