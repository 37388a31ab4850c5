import { expect, test } from "@jest/globals";
import { describeWithKafka } from "../support/kafka.ts";
import { shortChaos } from "../support/short-chaos.ts";

/** Row 4 of the fault table. */
describeWithKafka("two nodes under load", () => {
  test("kill -9 at random, also of both and inside their work: nothing is lost, invented or out of order", async () => {
    const kinds = ["a node killed", "both nodes killed", "a node killed inside its work"];
    await expect(shortChaos(kinds)).resolves.toEqual({ seed: expect.any(Number), findings: [], unexpected: [] });
  }, 120_000);
});
