import { randomUUID } from "node:crypto";
import { describe } from "@jest/globals";
import { kafkaAvailable, type RunningKafka } from "../../scripts/kafka/broker.ts";

export type TestKafka = Pick<RunningKafka, "plaintext" | "sasl" | "user" | "password">;

/** The one broker of this run, see kafka-starter.ts. Its first start takes 2 s, or a minute when Maven has to fetch it. */
export async function kafkaForTests(): Promise<TestKafka> {
  const address = process.env.TEST_KAFKA_STARTER;
  if (!address) throw new Error("TEST_KAFKA_STARTER is not set: global-setup.ts has to call startKafkaForTests()");
  const response = await fetch(address, { headers: { connection: "close" } });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as TestKafka;
}

/** `describe`, or a loud `describe.skip` where no broker can be started; with REQUIRE_ALL=1 the tests then fail. */
export function describeWithKafka(name: string, tests: () => void): void {
  const available = kafkaAvailable();
  if (available === true || process.env.REQUIRE_ALL === "1") {
    describe(name, tests);
  } else {
    process.stderr.write(`\n*** SKIPPED, not tested: "${name}": ${available}\n\n`);
    describe.skip(name, tests);
  }
}

export const uniqueName = (prefix: string): string => `${prefix}-${randomUUID()}`;
