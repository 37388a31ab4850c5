import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig, type Env } from "../../../lib/config.ts";
import { createAuthority } from "../../support/certificates.ts";
import { productionEnv, thrown } from "../helpers.ts";

const transporterOf = (changes: Env) => loadConfig({ ...productionEnv, ...changes }).transporter;
function problemsOf(changes: Env): readonly string[] {
  const error = thrown(() => transporterOf(changes));
  if (!(error instanceof ConfigError)) throw error;
  return error.problems;
}

let folder: string;
const path = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "transporter-"));
  const authority = await createAuthority();
  const { cert, key } = await authority.issue();
  for (const [name, text] of Object.entries({ "ca.crt": authority.cert, "own.crt": cert, "own.key": key })) {
    writeFileSync(path(name), text);
  }
  writeFileSync(path("notes.txt"), "no PEM");
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("TRANSPORTER: understood", () => {
  const nats = { kind: "nats", user: undefined, password: undefined, tls: undefined };
  test.each([
    ["nats://nats", { ...nats, servers: ["nats:4222"] }],
    ["nats://a:4223,nats://b,c:4224", { ...nats, servers: ["a:4223", "b:4222", "c:4224"] }],
    ["nats://me:p%40ss%2Fword@n", { ...nats, servers: ["n:4222"], user: "me", password: "p@ss/word" }],
    ["tls://nats:4443", { ...nats, servers: ["nats:4443"], tls: {} }],
    ["nats+tls://[::1]:4443", { ...nats, servers: ["[::1]:4443"], tls: {} }],
    ["redis://redis", { kind: "redis", url: "redis://redis", tls: undefined }],
    ["rediss://u:p@redis:6380/1", { kind: "redis", url: "rediss://u:p@redis:6380/1", tls: {} }],
  ])("%s", (TRANSPORTER, expected) => {
    expect(transporterOf({ TRANSPORTER })).toEqual(expected);
  });

  test("tcp://, with the addresses of all nodes", () => {
    expect(transporterOf({ TRANSPORTER: "tcp://a:4000,b.example.com:4001, [::1]:4002" })).toEqual({
      kind: "tcp",
      peers: [
        { host: "a", port: 4000 },
        { host: "b.example.com", port: 4001 },
        { host: "::1", port: 4002 },
      ],
      host: "0.0.0.0",
      port: 4000,
    });
  });

  test("tcp:// listens on loopback in development, and where it is told to", () => {
    const TRANSPORTER = "tcp://a:1";
    expect(transporterOf({ TRANSPORTER, NODE_ENV: "development" })).toMatchObject({ host: "127.0.0.1" });
    const told = { TRANSPORTER, TRANSPORTER_TCP_HOST: "10.0.0.7", TRANSPORTER_TCP_PORT: "4100" };
    expect(transporterOf(told)).toMatchObject({ host: "10.0.0.7", port: 4100 });
  });

  test("TLS files: the authority, and our own certificate with its key", () => {
    const TRANSPORTER = "nats+tls://nats";
    expect(transporterOf({ TRANSPORTER, TRANSPORTER_TLS_CA: path("ca.crt") })).toMatchObject({
      tls: { ca: expect.stringContaining("CERTIFICATE") },
    });
    const pair = { TRANSPORTER_TLS_CERT: path("own.crt"), TRANSPORTER_TLS_KEY: path("own.key") };
    expect(transporterOf({ TRANSPORTER, ...pair })).toMatchObject({
      tls: { cert: expect.stringContaining("CERTIFICATE"), key: expect.stringContaining("PRIVATE KEY") },
    });
  });
});

describe("TRANSPORTER: refused, without its value", () => {
  const url = expect.stringMatching(/^TRANSPORTER must be one or more URLs with a host/);
  test.each([
    "amqp://guest:hidden@rabbit",
    "hidden",
    "nats://",
    "tcp://hidden",
    "tcp://hidden:1,other",
    "tcp://hidden:99999",
    "tcp://me:hidden@host:1",
    "nats://hidden,redis://hidden",
    "redis://hidden,redis://hidden2",
    "nats://hidden%zz@nats",
  ])("%s", (TRANSPORTER) => {
    const problems = problemsOf({ TRANSPORTER });
    expect(problems).toEqual([url]);
    expect(problems.join()).not.toContain("hidden");
  });

  test("nothing at all is no transporter", () => {
    expect(transporterOf({ TRANSPORTER: "" })).toBeUndefined();
  });

  test("TLS files for what is not TLS, of which one is missing, or which hold something else", () => {
    const ca = { TRANSPORTER_TLS_CA: path("ca.crt") };
    expect(problemsOf({ TRANSPORTER: "nats://nats", ...ca })).toEqual([
      "TRANSPORTER must be nats+tls:// or rediss:// when a TRANSPORTER_TLS_ variable is set",
    ]);
    const TRANSPORTER = "nats+tls://nats";
    expect(problemsOf({ TRANSPORTER, TRANSPORTER_TLS_CERT: path("own.crt") })).toEqual([
      "TRANSPORTER_TLS_KEY is required when another TRANSPORTER_TLS_ variable is set",
    ]);
    expect(problemsOf({ TRANSPORTER, TRANSPORTER_TLS_CA: path("notes.txt") })).toEqual([
      "TRANSPORTER_TLS_CA names a file that holds no certificate in PEM, or a broken one",
    ]);
    expect(problemsOf({ TRANSPORTER, TRANSPORTER_TLS_CA: "/nowhere/ca.pem" })).toEqual([
      "TRANSPORTER_TLS_CA names a file that cannot be read",
    ]);
  });
});
