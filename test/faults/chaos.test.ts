import { expect, test } from "@jest/globals";
import { describeWithKafka } from "../support/kafka.ts";
import { shortChaos } from "../support/short-chaos.ts";

/** The short form of `npm run chaos`. */
describeWithKafka("two nodes under load", () => {
  test("nodes, Kafka, SMTP, PostgreSQL and NATS fail at random: nothing is lost, invented or out of order", async () => {
    await expect(shortChaos()).resolves.toEqual({ seed: expect.any(Number), findings: [], unexpected: [] });
  }, 120_000);
});
