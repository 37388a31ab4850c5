import { setTimeout as sleep } from "node:timers/promises";
import { ServiceBroker, type ServiceSchema } from "moleculer";
import type { Clock } from "./lib/clock.ts";
import { systemClock } from "./lib/clock.ts";
import type { Config, ServiceName } from "./lib/config.ts";
import type { Log } from "./lib/log.ts";
import { serveMetrics } from "./mixins/metrics/metrics-server.ts";
import { createMetrics } from "./mixins/metrics/metrics.ts";
import { measureProcess } from "./mixins/metrics/process-metrics.ts";
import type { Node } from "./mixins/node.ts";
import brokerOptions from "./moleculer.config.ts";

export interface RunningNode {
  readonly broker: ServiceBroker;
  /** Doors first: what they still carry can finish before the services behind them go. */
  stop(): Promise<void>;
}

type ServiceModule = { readonly default: (node: Node) => ServiceSchema };
/** Loaded only where they run: a gateway has no use for bcrypt. */
const modules: Readonly<Record<ServiceName, () => Promise<ServiceModule>>> = {
  auth: () => import("./services/auth/auth.service.ts"),
  users: () => import("./services/users/users.service.ts"),
  mailer: () => import("./services/mailer/mailer.service.ts"),
  events: () => import("./services/events/events.service.ts"),
  "grpc-gateway": () => import("./services/grpc-gateway/grpc-gateway.service.ts"),
  "api-gateway": () => import("./services/api-gateway/api-gateway.service.ts"),
};
const doors: readonly ServiceName[] = ["api-gateway", "grpc-gateway"];

const transporterPatienceMs = 2000;

/**
 * Moleculer starts no service before its transporter answers. What this node can do by itself does not need the others:
 * after a while it starts without them, goes on trying in the background, and says `degraded` meanwhile.
 */
function startWithoutTransporter({ transit }: ServiceBroker): void {
  if (!transit) return;
  const connect = transit.connect.bind(transit);
  transit.connect = async () => {
    await Promise.race([connect(), sleep(transporterPatienceMs, undefined, { ref: false })]);
  };
}

/** Starts the services of a configuration in one process. */
export async function startNode(config: Config, log: Log, clock: Clock = systemClock): Promise<RunningNode> {
  const broker = new ServiceBroker(brokerOptions(config, log));
  startWithoutTransporter(broker);
  const metrics = createMetrics(log);
  const node: Node = { config, broker, log, clock, metrics };
  for (const name of config.services) {
    const { default: service } = await modules[name]();
    broker.createService(service(node));
  }
  const endpoint = config.metrics && (await serveMetrics(config.metrics, metrics));
  const endMeasuring = config.metrics && measureProcess(metrics);
  await broker.start();
  return {
    broker,
    stop: async () => {
      const running = broker.services.filter(({ name }) => doors.some((door) => door === name));
      await Promise.all(running.map((service) => broker.destroyService(service)));
      await broker.stop();
      endMeasuring?.();
      await endpoint?.close();
    },
  };
}
