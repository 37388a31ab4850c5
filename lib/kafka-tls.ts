import type { EnvReader } from "./env-reader.ts";
import { clientTls, type ClientTls } from "./tls-files.ts";

/**
 * Without `KAFKA_SSL_CA`, the authorities that Node knows; `_CERT` and `_KEY` for brokers that ask for ours. What cannot work
 * stops the start, which names the variable; what the broker refuses is only known when it is asked.
 */
export function kafkaTls(env: EnvReader): ClientTls | undefined {
  if (env.boolean("KAFKA_SSL", false)) return clientTls(env, "KAFKA_SSL") ?? {};
  // Whoever set them believes that the connection is encrypted.
  for (const name of ["KAFKA_SSL_CA", "KAFKA_SSL_CERT", "KAFKA_SSL_KEY"]) {
    if (env.optional(name) !== undefined) env.problem(name, "is set, but KAFKA_SSL is not True");
  }
  return undefined;
}
