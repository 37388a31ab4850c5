import { describe, expect, test } from "@jest/globals";
import {
  deadLetterTopics,
  listeners,
  listenersByTopic,
  topicsToCreate,
  type Listener,
} from "../../../../services/events/listeners.ts";
import { allTopics } from "../../../../services/events/topics.ts";
import { ledgerContract } from "../../../support/listening-node.ts";

const listener = (topic: string, event: string): Listener => ({ topic, event, action: ledgerContract.note });

describe("listeners", () => {
  test("the platform sends us nothing, so only our own topics are created", () => {
    expect(listeners).toEqual([]);
    expect(topicsToCreate).toEqual(allTopics);
  });

  test("deadLetterTopics: one for each topic, however many events it has", () => {
    const topics = deadLetterTopics([listener("a", "x"), listener("a", "y"), listener("b", "x")]);
    expect(topics).toEqual(["a.dead-letter", "b.dead-letter"]);
  });

  test("listenersByTopic: two for one event stop the start", () => {
    expect(() => listenersByTopic([listener("a", "x"), listener("a", "x")])).toThrow("two listeners for x of a");
    expect([
      ...listenersByTopic([listener("a", "x"), listener("a", "y")])
        .get("a")!
        .keys(),
    ]).toEqual(["x", "y"]);
  });
});
