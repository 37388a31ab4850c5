import type { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { TransporterConfig } from "../../lib/transporter-config.ts";
import { NatsTransporter } from "./nats.ts";
import { RedisTransporter } from "./redis.ts";
import { TcpTransporter } from "./tcp.ts";

/** What carries packets between nodes; with each of them calls fail at once while the others cannot be reached. */
export function createTransporter(config: TransporterConfig, production: boolean, log: Log): Transporters.Base {
  const own = log.child({ module: "transporter" });
  if (production) warnOfOpenDoors(config, own);
  switch (config.kind) {
    case "nats":
      return new NatsTransporter(config, own);
    case "redis":
      return new RedisTransporter(config, own);
    case "tcp":
      return new TcpTransporter(config, own);
  }
}

/** No reason to refuse the start: what is sent is sealed. But who can connect can see who talks to whom, and get in the way. */
function warnOfOpenDoors(config: TransporterConfig, log: Log): void {
  if (config.kind === "tcp") return;
  if (!config.tls) log.warn({}, "the transporter is not encrypted: others can see which nodes talk to each other");
  const hasCredentials =
    config.tls?.cert !== undefined ||
    (config.kind === "nats" ? config.user !== undefined : new URL(config.url).password !== "");
  if (!hasCredentials) log.warn({}, "the transporter has no credentials: whoever reaches it can get in the nodes' way");
}
