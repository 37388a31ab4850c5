import { startKafkaForTests } from "./kafka-starter.ts";
import { startTestCluster } from "./test-cluster.ts";

declare global {
  var stopAfterTests: (() => Promise<void>)[];
}

/** Runs once per jest run, in the parent; the workers inherit the environment that is set here. */
export default async function globalSetup(): Promise<void> {
  globalThis.stopAfterTests = [];
  globalThis.stopAfterTests.push(await startTestCluster());
  globalThis.stopAfterTests.push(await startKafkaForTests());
}
