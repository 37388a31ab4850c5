/**
 * `npm run chaos -- --minutes 10 [--seed n]`: two nodes with all that they stand on, under load, while one thing after the
 * other breaks; then the oracle says whether anything was lost or invented. Ends with 1 if so.
 */
import { kafkaAvailable } from "./kafka/broker.ts";
import { ChaosUsageError, readChaosOptions, usage, usageExitCode, type ChaosOptions } from "./chaos/options.ts";
import { isClean, printReport } from "./chaos/report.ts";
import { runChaos } from "./chaos/run.ts";

const options = optionsOrExit();
const available = kafkaAvailable();
if (available !== true) {
  console.error(`Kafka cannot be started: ${available}`);
  process.exit(1);
}
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    console.log("ending early; once more ends at once");
    stop.abort();
  });
}
const began = performance.now();
const log = (line: string) => console.log(`${((performance.now() - began) / 1000).toFixed(0)} s: ${line}`);
const report = await runChaos(options, { log, stop: stop.signal });
printReport(report);
process.exit(isClean(report) ? 0 : 1);

function optionsOrExit(): ChaosOptions {
  try {
    return readChaosOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ChaosUsageError)) throw error;
    console.error(`${error.message}\n${usage}`);
    process.exit(usageExitCode);
  }
}
