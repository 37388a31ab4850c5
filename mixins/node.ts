import type { ServiceBroker } from "moleculer";
import type { Clock } from "../lib/clock.ts";
import type { Config } from "../lib/config.ts";
import type { Log } from "../lib/log.ts";
import { openDatabase, type Database, type Signal } from "./database/database.ts";
import type { Metrics } from "./metrics/metrics.ts";

/** What every service is made from. */
export interface Node {
  readonly config: Config;
  readonly broker: ServiceBroker;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** A service's own small pool; what its transactions announce after their commit becomes broadcast events. */
export function openServiceDatabase(node: Node, name: string, connections: number): Database {
  const announce = async ({ name: signal, ...about }: Signal): Promise<void> => {
    try {
      await node.broker.broadcast(signal, about, { throwError: true });
    } catch (error) {
      // Only a hint was lost: whoever waits for it also polls. A transporter that closes throws at once.
      node.log.debug({ signal, reason: String(error) }, "a hint was not delivered");
    }
  };
  const { database } = node.config;
  if (!database) throw new Error(`the service ${name} needs a database`);
  return openDatabase(database, node.log, { name, connections, onCommit: (signal) => void announce(signal) });
}
