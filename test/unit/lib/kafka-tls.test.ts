import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig, type Env } from "../../../lib/config.ts";
import { createAuthority } from "../../support/certificates.ts";
import { productionEnv, thrown } from "../helpers.ts";

let folder: string;
const contents: Record<string, string> = {};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "kafka-tls-"));
  const authority = await createAuthority();
  const [client, other] = [await authority.issue(), await authority.issue()];
  Object.assign(contents, {
    "client.crt": client.cert,
    "client.key": client.key,
    "other.key": other.key,
    "ca.crt": authority.cert,
    "half.crt": `${authority.cert}\n${other.cert.replace(/\n\w{20}/, "\n!!!!")}`,
    "notes.txt": "private notes and no PEM",
  });
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(folder, name), text);
});
afterAll(() => rmSync(folder, { recursive: true }));

const envOf = (files: Record<string, string>, on = "True"): Env => ({
  ...productionEnv,
  KAFKA_SSL: on,
  ...Object.fromEntries(Object.entries(files).map(([name, file]) => [`KAFKA_SSL_${name}`, join(folder, file)])),
});

/** What is wrong when these files are named. */
function problemsOf(files: Record<string, string>, on?: string): readonly string[] {
  const error = thrown(() => loadConfig(envOf(files, on)));
  if (!(error instanceof ConfigError)) throw error;
  const told = error.problems.join("\n");
  expect(told).not.toContain(folder);
  for (const text of Object.values(contents)) expect(told).not.toContain(text.slice(0, 40));
  return error.problems;
}
const pair = { CERT: "client.crt", KEY: "client.key" };

describe("KAFKA_SSL_*: accepted", () => {
  test.each<[string, Record<string, string>]>([
    ["no file: the authorities that Node knows", {}],
    ["an authority", { CA: "ca.crt" }],
    ["our certificate and its key", pair],
    ["all three", { ...pair, CA: "ca.crt" }],
  ])("%s", (_, files) => {
    const { CA = "", CERT = "", KEY = "" } = files;
    expect(loadConfig(envOf(files)).kafka?.ssl).toEqual({
      ca: contents[CA],
      cert: contents[CERT],
      key: contents[KEY],
    });
  });

  test("without KAFKA_SSL: no encryption", () => {
    expect(loadConfig(envOf({}, "False")).kafka?.ssl).toBeUndefined();
  });
});

describe("KAFKA_SSL_*: refused at start, by the variable's name and without a word of the file", () => {
  const noCertificate = "names a file that holds no certificate in PEM, or a broken one";
  const noKey = "names a file that holds no private key in PEM without a passphrase";
  const unreadable = "names a file that cannot be read";

  test.each<[string, Record<string, string>, string[]]>([
    [
      "files that are not there",
      { CA: "a", ...pair, CERT: "b" },
      [`KAFKA_SSL_CA ${unreadable}`, `KAFKA_SSL_CERT ${unreadable}`],
    ],
    ["an authority that is no PEM", { CA: "notes.txt" }, [`KAFKA_SSL_CA ${noCertificate}`]],
    ["several authorities, one of them broken", { CA: "half.crt" }, [`KAFKA_SSL_CA ${noCertificate}`]],
    [
      "a certificate without its key",
      { CERT: "client.crt" },
      ["KAFKA_SSL_KEY is required when another KAFKA_SSL_ variable is set"],
    ],
    [
      "a key without its certificate",
      { KEY: "client.key" },
      ["KAFKA_SSL_CERT is required when another KAFKA_SSL_ variable is set"],
    ],
    ["a certificate that is no PEM", { ...pair, CERT: "notes.txt" }, [`KAFKA_SSL_CERT ${noCertificate}`]],
    ["a key that is no PEM", { ...pair, KEY: "notes.txt" }, [`KAFKA_SSL_KEY ${noKey}`]],
    [
      "the key of another certificate",
      { ...pair, KEY: "other.key" },
      ["KAFKA_SSL_KEY does not belong to the first certificate of KAFKA_SSL_CERT"],
    ],
  ])("%s", (_, files, problems) => {
    expect(problemsOf(files)).toEqual(problems);
  });

  test("files without KAFKA_SSL: whoever named them believes in an encryption that is not there", () => {
    const notOn = "is set, but KAFKA_SSL is not True";
    expect(problemsOf({ ...pair, CA: "ca.crt" }, "False")).toEqual(
      ["CA", "CERT", "KEY"].map((name) => `KAFKA_SSL_${name} ${notOn}`),
    );
  });
});
