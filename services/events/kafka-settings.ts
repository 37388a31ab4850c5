import type { ClientTls } from "../../lib/tls-files.ts";

/** How Kafka is reached. */
export interface KafkaSettings {
  /** host:port */
  readonly brokers: readonly string[];
  /** Without one there is no SASL. */
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
  /** Without it the connection is not encrypted. */
  readonly ssl: ClientTls | undefined;
}
