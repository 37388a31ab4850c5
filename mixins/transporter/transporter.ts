import type { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { TransporterConfig } from "../../lib/transporter-config.ts";
import { NatsTransporter } from "./nats.ts";
import { RedisTransporter } from "./redis.ts";
import { TcpTransporter } from "./tcp.ts";

/** What carries packets between nodes; all three tell the same when they lose the others: calls fail at once, readiness is degraded. */
export function createTransporter(config: TransporterConfig, log: Log): Transporters.Base {
  switch (config.kind) {
    case "nats":
      return new NatsTransporter(config, log);
    case "redis":
      return new RedisTransporter(config, log);
    case "tcp":
      return new TcpTransporter(config, log);
  }
}
