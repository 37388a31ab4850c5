import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig, type Env } from "../../../lib/config.ts";
import { createAuthority } from "../../support/certificates.ts";
import { productionEnv, thrown } from "../helpers.ts";

let folder: string;
const contents: Record<string, string> = {};
const path = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "grpc-tls-"));
  const authority = await createAuthority();
  const [server, other] = [await authority.issue(), await authority.issue()];
  const locked = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "passphrase" } as const;
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: locked,
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  Object.assign(contents, {
    "server.crt": server.cert,
    "server.key": server.key,
    "other.key": other.key,
    "ca.crt": authority.cert,
    "bundle.crt": `${authority.cert}\n${other.cert}`,
    "half.crt": `${authority.cert}\n${other.cert.replace(/\n\w{20}/, "\n!!!!")}`,
    "locked.key": privateKey,
    "notes.txt": "private notes and no PEM",
    "empty.txt": "",
  });
  for (const [name, text] of Object.entries(contents)) writeFileSync(path(name), text);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What is wrong when these files are named. */
function problemsOf(files: Record<string, string>): readonly string[] {
  const named: Env = Object.fromEntries(Object.entries(files).map(([name, file]) => [`GRPC_TLS_${name}`, path(file)]));
  const error = thrown(() => loadConfig({ ...productionEnv, ...named }));
  if (!(error instanceof ConfigError)) throw error;
  const told = error.problems.join("\n");
  expect(told).not.toContain(folder);
  for (const text of Object.values(contents)) if (text !== "") expect(told).not.toContain(text.slice(0, 40));
  return error.problems;
}
const pair = { CERT: "server.crt", KEY: "server.key" };

describe("GRPC_TLS_*: accepted", () => {
  const tlsOf = (files: Record<string, string>) => {
    const named = Object.entries(files).map(([name, file]) => [`GRPC_TLS_${name}`, path(file)]);
    return loadConfig({ ...productionEnv, ...(Object.fromEntries(named) as Env) }).grpc.tls;
  };

  test("none of them: plaintext", () => {
    expect(loadConfig(productionEnv).grpc.tls).toBeUndefined();
  });

  test.each([
    ["certificate and key", pair, undefined],
    ["with a CA", { ...pair, CA: "ca.crt" }, "ca.crt"],
    ["with several CAs", { ...pair, CA: "bundle.crt" }, "bundle.crt"],
  ])("%s: the contents of the files", (_, files, ca) => {
    const [cert, key] = [contents["server.crt"], contents["server.key"]];
    expect(tlsOf(files)).toEqual({ cert, key, ca: ca && contents[ca] });
  });
});

describe("GRPC_TLS_*: refused at start, by the variable's name and without a word of the file", () => {
  const required = "is required when another GRPC_TLS_ variable is set";
  const unreadable = "names a file that cannot be read";
  const noCertificate = "names a file that holds no certificate in PEM, or a broken one";
  const noKey = "names a file that holds no private key in PEM without a passphrase";

  test.each<[string, Record<string, string>, string[]]>([
    ["only a certificate", { CERT: "server.crt" }, [`GRPC_TLS_KEY ${required}`]],
    ["only a key", { KEY: "server.key" }, [`GRPC_TLS_CERT ${required}`]],
    ["only a CA", { CA: "ca.crt" }, [`GRPC_TLS_CERT ${required}`, `GRPC_TLS_KEY ${required}`]],
    [
      "files that are not there",
      { CERT: "a", KEY: "b" },
      [`GRPC_TLS_CERT ${unreadable}`, `GRPC_TLS_KEY ${unreadable}`],
    ],
    ["a CA that is not there", { ...pair, CA: "c" }, [`GRPC_TLS_CA ${unreadable}`]],
    ["a certificate that is no PEM", { ...pair, CERT: "notes.txt" }, [`GRPC_TLS_CERT ${noCertificate}`]],
    ["a key as the certificate", { ...pair, CERT: "server.key" }, [`GRPC_TLS_CERT ${noCertificate}`]],
    ["an empty certificate", { ...pair, CERT: "empty.txt" }, [`GRPC_TLS_CERT ${noCertificate}`]],
    ["a key that is no PEM", { ...pair, KEY: "notes.txt" }, [`GRPC_TLS_KEY ${noKey}`]],
    ["a key with a passphrase", { ...pair, KEY: "locked.key" }, [`GRPC_TLS_KEY ${noKey}`]],
    ["a CA that is no PEM", { ...pair, CA: "notes.txt" }, [`GRPC_TLS_CA ${noCertificate}`]],
    ["a bundle of CAs with a broken one", { ...pair, CA: "half.crt" }, [`GRPC_TLS_CA ${noCertificate}`]],
    [
      "the key of another certificate",
      { ...pair, KEY: "other.key" },
      ["GRPC_TLS_KEY does not belong to the first certificate of GRPC_TLS_CERT"],
    ],
  ])("%s", (_, files, problems) => {
    expect(problemsOf(files)).toEqual(problems);
  });
});
