import type { EnvReader } from "./env-reader.ts";
import { checkCertificates, checkPair } from "./pem-files.ts";

/** PEM; with `ca`, callers must show a certificate of it. */
export interface GrpcTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
}
const names = { cert: "GRPC_TLS_CERT", key: "GRPC_TLS_KEY", ca: "GRPC_TLS_CA" } as const;

/**
 * Plaintext without a certificate, as the callers expect it; with a CA, callers must show a certificate of theirs. What
 * does not fit together is told here and stops the start: with some of it the server would start and refuse every caller.
 */
export function grpcTls(env: EnvReader): GrpcTls | undefined {
  if (Object.values(names).every((name) => env.optional(name) === undefined)) return undefined;
  const [cert, key, ca] = [requiredFile(env, names.cert), requiredFile(env, names.key), env.file(names.ca)];
  if (ca !== undefined) checkCertificates(env, names.ca, ca);
  checkPair(env, names, { cert, key });
  return { cert: cert ?? "", key: key ?? "", ca };
}

function requiredFile(env: EnvReader, name: string): string | undefined {
  if (env.optional(name) === undefined) env.problem(name, "is required when another GRPC_TLS_ variable is set");
  return env.file(name);
}
