/** `npm run repl`: joins a running cluster as a node without services, to look around and to call actions. */
import { randomUUID } from "node:crypto";
import { ServiceBroker } from "moleculer";
import { ConfigError, configExitCode, loadConfig, readEnvironment } from "../lib/config.ts";
import { createLog } from "../lib/log.ts";
import brokerOptions from "../moleculer.config.ts";

const joinWithinMs = 5000;
const environment = readEnvironment();
const production = environment["NODE_ENV"] === "production";
// Below a prompt every line of information is in the way.
const log = createLog({ level: environment["LOG_LEVEL"] ?? "warn", pretty: !production });

try {
  if (!environment["TRANSPORTER"]?.trim()) {
    fail("TRANSPORTER is not set: there is no cluster to join. A single process has its own prompt: npm run dev.");
  }
  const config = loadConfig(await replEnvironment());
  const broker = new ServiceBroker({ ...brokerOptions(config, log), nodeID: `repl-${randomUUID().slice(0, 8)}` });
  const late = setTimeout(() => fail(`The transporter does not answer within ${joinWithinMs} ms.`), joinWithinMs);
  await broker.start();
  clearTimeout(late);
  broker.repl();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.error(`The configuration is not complete:\n${error.problems.map((problem) => `  ${problem}`).join("\n")}`);
  process.exit(configExitCode);
}

/** As a gateway reads it: no database, and in development the secrets that the others have made. */
async function replEnvironment() {
  // Over TCP on any port: its own may be the one of a node on this machine.
  const gateway = { ...environment, SERVICES: "api-gateway", TRANSPORTER_TCP_PORT: "0" };
  if (production) return gateway;
  const { embeddedDefaults } = await import("../mixins/embedded/defaults.ts");
  return (await embeddedDefaults(gateway, log)).env;
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(1);
}
