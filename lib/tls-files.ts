import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { EnvReader } from "./env-reader.ts";

/** PEM. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Callers must show a certificate of it. */
  readonly ca: string | undefined;
}
/** PEM; our own certificate, if the server asks for one, and the authority that the server must be of. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Of `<prefix>_CERT`, `_KEY` and `_CA`: the first two if there is any. What does not fit together is told here. */
export function serverTls(env: EnvReader, prefix: string): ServerTls | undefined {
  if (["CERT", "KEY", "CA"].every((name) => env.optional(`${prefix}_${name}`) === undefined)) return undefined;
  const { cert, key } = readPair(env, prefix);
  return { cert: cert ?? "", key: key ?? "", ca: readAuthorities(env, prefix) };
}

/** Of `<prefix>_CA`, `_CERT` and `_KEY`, of which the last two go together; undefined when there is none. */
export function clientTls(env: EnvReader, prefix: string): ClientTls | undefined {
  const ca = readAuthorities(env, prefix);
  const hasPair = ["CERT", "KEY"].some((name) => env.optional(`${prefix}_${name}`) !== undefined);
  const { cert, key } = hasPair ? readPair(env, prefix) : {};
  const files = { ...(ca !== undefined && { ca }), ...(cert !== undefined && key !== undefined && { cert, key }) };
  return Object.keys(files).length > 0 ? files : undefined;
}

/** Of `<prefix>_CA`. */
export function readAuthorities(env: EnvReader, prefix: string): string | undefined {
  const ca = env.file(`${prefix}_CA`);
  if (ca !== undefined) certificates(env, `${prefix}_CA`, ca);
  return ca;
}

function readPair(env: EnvReader, prefix: string): { cert: string | undefined; key: string | undefined } {
  const [certName, keyName] = [`${prefix}_CERT`, `${prefix}_KEY`];
  const [cert, key] = [requiredFile(env, prefix, certName), requiredFile(env, prefix, keyName)];
  const [certificate] = cert === undefined ? [] : certificates(env, certName, cert);
  const privateKey = key === undefined ? undefined : readKey(env, keyName, key);
  if (certificate && privateKey) {
    if (!certificate.checkPrivateKey(privateKey)) {
      env.problem(keyName, `does not belong to the first certificate of ${certName}`);
    } else if (!isUsable({ cert, key })) {
      env.problem(certName, "names a certificate that OpenSSL does not use, such as one with too short a key");
    }
  }
  return { cert, key };
}

function requiredFile(env: EnvReader, prefix: string, name: string): string | undefined {
  if (env.optional(name) === undefined) env.problem(name, `is required when another ${prefix}_ variable is set`);
  return env.file(name);
}

/** All of them: of a broken one OpenSSL takes nothing, says nothing, and then refuses everybody. */
function certificates(env: EnvReader, name: string, pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [""];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    env.problem(name, "names a file that holds no certificate in PEM, or a broken one");
    return [];
  }
}

function readKey(env: EnvReader, name: string, pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    env.problem(name, "names a file that holds no private key in PEM without a passphrase");
    return undefined;
  }
}

function isUsable(pem: object): boolean {
  try {
    createSecureContext(pem);
    return true;
  } catch {
    return false;
  }
}
