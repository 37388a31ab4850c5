import { describe } from "@jest/globals";
import { hasNats } from "./nats-server.ts";

export { startNats, type RunningNats } from "./nats-server.ts";

/** `describe`, or a loud `describe.skip` where there is no `nats-server`; with REQUIRE_ALL=1 the tests then fail. */
export function describeWithNats(name: string, tests: () => void): void {
  if (hasNats() || process.env["REQUIRE_ALL"] === "1") {
    describe(name, tests);
  } else {
    process.stderr.write(`\n*** SKIPPED, not tested: "${name}": no nats-server (apt-get install nats-server)\n\n`);
    describe.skip(name, tests);
  }
}
