import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { Validators, type BrokerOptions } from "moleculer";
import type { Config } from "./lib/config.ts";
import { errorType } from "./lib/errors.ts";
import type { Log } from "./lib/log.ts";
import { validatorOptions } from "./lib/schema.ts";
import { BrokerLogger } from "./mixins/broker-logger.ts";
import { authorize } from "./mixins/middlewares/authorize.ts";
import { informBreaker } from "./mixins/middlewares/inform-breaker.ts";
import { sealPackets } from "./mixins/transporter/seal-packets.ts";
import { createTransporter } from "./mixins/transporter/transporter.ts";

/** How nodes find, call and give up on each other. Moleculer's own defaults wait for ever and retry blindly. */
export default function brokerOptions(config: Config, log: Log): BrokerOptions {
  return {
    namespace: "identity",
    nodeID: `${config.services.length === 1 ? config.services.join() : "node"}-${hostname()}-${randomUUID().slice(0, 8)}`,
    logger: new BrokerLogger(log),
    transporter:
      config.transporter === undefined ? null : createTransporter(config.transporter, config.production, log),
    middlewares: [authorize, informBreaker, sealPackets(config.secrets, log)],
    // $node.* would tell options and services to every peer.
    internalServices: false,
    validator: new Validators.Fastest(validatorOptions),
    // Longer than a statement may take, shorter than a person waits.
    requestTimeout: 2500,
    maxCallLevel: 10,
    retryPolicy: { enabled: false },
    circuitBreaker: {
      enabled: true,
      threshold: 0.5,
      minRequestCount: 20,
      windowTime: 30,
      halfOpenTime: 2000,
      // Only silence opens it: a refusal is an answer.
      check: (error) => errorType(error) === "REQUEST_TIMEOUT",
    },
    bulkhead: { enabled: true, concurrency: 200, maxQueueSize: 1000 },
    // A stop waits for what runs.
    tracking: { enabled: true, shutdownTimeout: 10_000 },
    heartbeatInterval: 3,
    heartbeatTimeout: 8,
    registry: {
      preferLocal: true,
      // Time for the others to hear that this node goes before it stops answering.
      stopDelay: config.transporter === undefined ? 0 : 500,
    },
    // main.ts stops the broker, then what it stands on.
    skipProcessEventRegistration: true,
  };
}
