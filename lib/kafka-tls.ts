import type { EnvReader } from "./env-reader.ts";
import { checkCertificates, checkPair } from "./pem-files.ts";

/** PEM. Without `ca`, the authorities that Node knows; `cert` and `key` for brokers that ask for ours. */
export interface KafkaTls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}
const names = { ca: "KAFKA_SSL_CA", cert: "KAFKA_SSL_CERT", key: "KAFKA_SSL_KEY" } as const;

/** What cannot work stops the start, which names the variable; what the broker refuses is only known when it is asked. */
export function kafkaTls(env: EnvReader): KafkaTls | undefined {
  const given = Object.values(names).filter((name) => env.optional(name) !== undefined);
  if (!env.boolean("KAFKA_SSL", false)) {
    // Whoever set them believes that the connection is encrypted.
    for (const name of given) env.problem(name, "is set, but KAFKA_SSL is not True");
    return undefined;
  }
  const [ca, cert, key] = [env.file(names.ca), env.file(names.cert), env.file(names.key)];
  if (ca !== undefined) checkCertificates(env, names.ca, ca);
  for (const [name, other] of [
    [names.cert, names.key],
    [names.key, names.cert],
  ] as const) {
    if (given.includes(other) && !given.includes(name)) env.problem(name, `is required when ${other} is set`);
  }
  checkPair(env, names, { cert, key });
  return { ca, cert, key };
}
