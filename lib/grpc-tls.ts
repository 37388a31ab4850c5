import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { EnvReader } from "./env-reader.ts";

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
  const [certificate] = cert === undefined ? [] : certificates(env, names.cert, cert);
  const privateKey = key === undefined ? undefined : readKey(env, key);
  if (ca !== undefined) certificates(env, names.ca, ca);
  if (certificate && privateKey) checkPair(env, certificate, privateKey, { cert, key });
  return { cert: cert ?? "", key: key ?? "", ca };
}

function requiredFile(env: EnvReader, name: string): string | undefined {
  if (env.optional(name) === undefined) env.problem(name, "is required when another GRPC_TLS_ variable is set");
  return env.file(name);
}

/** All of them: of a broken one OpenSSL takes nothing, says nothing, and then refuses every caller. */
function certificates(env: EnvReader, name: string, pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [""];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    env.problem(name, "names a file that holds no certificate in PEM, or a broken one");
    return [];
  }
}

function readKey(env: EnvReader, pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    env.problem(names.key, "names a file that holds no private key in PEM without a passphrase");
    return undefined;
  }
}

function checkPair(env: EnvReader, certificate: X509Certificate, key: KeyObject, pem: object): void {
  if (!certificate.checkPrivateKey(key)) {
    env.problem(names.key, `does not belong to the first certificate of ${names.cert}`);
    return;
  }
  try {
    createSecureContext(pem);
  } catch {
    env.problem(names.cert, "names a certificate that OpenSSL does not use, such as one with too short a key");
  }
}
