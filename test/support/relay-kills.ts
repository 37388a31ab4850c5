import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { failPointEnv, type FailPoint } from "./fail-point.ts";
import { startProcess, type ServiceProcess } from "./process.ts";
import { oneOf } from "./random.ts";

const failPointModule = join(import.meta.dirname, "fail-point.ts");

/** `node main.ts` that kills itself at a point; without one it lives. */
export const startDoomed = (env: Readonly<Record<string, string>>, point?: FailPoint): ServiceProcess =>
  startProcess({ ...env, ...(point && failPointEnv(point)) }, point ? { imports: [failPointModule] } : {});

/**
 * One relay after the other, each killed between a commit and its mark: right before or right after Kafka has its events.
 * Somebody has to change accounts meanwhile.
 */
export async function killRelays(
  env: Readonly<Record<string, string>>,
  kills: number,
  random: () => number,
): Promise<void> {
  for (let killed = 0; killed < kills; killed++) {
    const when = oneOf(random, ["before", "after"] as const);
    const relay = startDoomed(
      { ...env, SERVICES: "events" },
      { kafka: "sendBatch", when, nth: 1 + Math.floor(random() * 3) },
    );
    let ended = false;
    void relay.exited.then(() => (ended = true));
    try {
      await eventually("the relay has met its end", () => (ended ? true : undefined), 60_000);
    } finally {
      await relay.kill();
    }
  }
}
