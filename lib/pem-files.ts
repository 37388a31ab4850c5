import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { EnvReader } from "./env-reader.ts";

/** Names of the variables that name the files. */
export interface PairNames {
  readonly cert: string;
  readonly key: string;
}
/** The texts of the files, as far as they could be read. */
export interface Pair {
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Tells what is wrong with a certificate and its key: with some of it TLS would start and then be refused by everybody. */
export function checkPair(env: EnvReader, names: PairNames, { cert, key }: Pair): void {
  const [certificate] = cert === undefined ? [] : checkCertificates(env, names.cert, cert);
  const privateKey = key === undefined ? undefined : readKey(env, names.key, key);
  if (!certificate || !privateKey) return;
  if (!certificate.checkPrivateKey(privateKey)) {
    env.problem(names.key, `does not belong to the first certificate of ${names.cert}`);
    return;
  }
  try {
    createSecureContext({ cert, key });
  } catch {
    env.problem(names.cert, "names a certificate that OpenSSL does not use, such as one with too short a key");
  }
}

/** All of them: of a broken one OpenSSL takes nothing, says nothing, and then refuses every peer. */
export function checkCertificates(env: EnvReader, name: string, pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [""];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    env.problem(name, "names a file that holds no certificate in PEM, or a broken one");
    return [];
  }
}

function readKey(env: EnvReader, name: string, pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    env.problem(name, "names a file that holds no private key in PEM without a passphrase");
    return undefined;
  }
}
