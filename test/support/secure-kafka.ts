import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { startKafka, type KafkaPorts, type RunningKafka } from "../../scripts/kafka/broker.ts";
import { classDataArchive, kafkaClassPath } from "../../scripts/kafka/jars.ts";
import type { Certificate } from "./certificates.ts";
import { freePort } from "./ports.ts";

/** Two more doors than the broker of scripts/kafka has: SASL over TLS, and client certificates. */
interface SecurePorts extends KafkaPorts {
  readonly saslTls: number;
  readonly mutualTls: number;
}

/** A broker of its own whose certificate and passwords a test can change. Its ports and topics stay over restarts. */
export interface SecureKafka {
  readonly user: string;
  readonly password: string;
  readonly ports: SecurePorts;
  /** Ends it, and starts it again with this certificate. */
  showInstead(certificate: Certificate): Promise<void>;
  /** That of SCRAM-SHA-512, by `kafka-configs` and while it runs. */
  setScramPassword(password: string): Promise<void>;
  stop(): Promise<void>;
}

/** @param clientCa PEM: whose certificates are taken instead of a password */
export async function startSecureKafka(certificate: Certificate, clientCa: string): Promise<SecureKafka> {
  const dir = await mkdtemp(join(tmpdir(), "identity-kafka-security-"));
  const own = async (name: string, text: string) => {
    await writeFile(join(dir, name), text, { mode: 0o600 });
    return join(dir, name);
  };
  const credentials = { user: "identity", password: randomBytes(18).toString("base64url") };
  await own("credentials.json", JSON.stringify(credentials));
  const ports = await freePorts();

  const start = async ({ cert, key }: Certificate): Promise<RunningKafka> => {
    const keyStore = await own("broker.pem", `${key}\n${cert}\n`);
    const trustStore = await own("clients.pem", clientCa);
    return await startKafka({ dir, ports, overrides: overrides(ports, credentials, keyStore, trustStore) });
  };
  let broker = await start(certificate);

  return {
    ...credentials,
    ports,
    showInstead: async (another) => {
      await broker.stop();
      broker = await start(another);
    },
    setScramPassword: async (password) => {
      const scram = `SCRAM-SHA-512=[password=${password}]`;
      const server = ["--bootstrap-server", broker.plaintext];
      const change = ["--alter", "--add-config", scram, "--entity-type", "users", "--entity-name", "identity"];
      const java = [
        "-Xmx64m",
        "-XX:TieredStopAtLevel=1",
        `-XX:SharedArchiveFile=${classDataArchive()}`,
        "-Xlog:disable",
      ];
      const args = [...java, "-cp", await kafkaClassPath(), "kafka.admin.ConfigCommand", ...server, ...change];
      // In a file, not on the command line, where every user of the machine could read the password.
      const argFile = await own("config.args", args.map((arg) => `"${arg}"`).join("\n"));
      await promisify(execFile)("java", [`@${argFile}`]);
    },
    stop: async () => {
      await broker.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function overrides(
  { plaintext, sasl, saslTls, mutualTls, controller }: SecurePorts,
  { user, password }: { readonly user: string; readonly password: string },
  keyStore: string,
  trustStore: string,
): Record<string, string> {
  const at = (name: string, port: number) => `${name}://127.0.0.1:${port}`;
  const open = [at("PLAINTEXT", plaintext), at("SASL", sasl), at("SASLTLS", saslTls), at("MUTUALTLS", mutualTls)];
  const jaas = "org.apache.kafka.common.security";
  const login = "listener.name.sasltls";
  return {
    listeners: [...open, at("CONTROLLER", controller)].join(),
    "advertised.listeners": open.join(),
    "listener.security.protocol.map":
      "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,MUTUALTLS:SSL,CONTROLLER:PLAINTEXT",
    [`${login}.plain.sasl.jaas.config`]: `${jaas}.plain.PlainLoginModule required user_${user}="${password}";`,
    [`${login}.scram-sha-256.sasl.jaas.config`]: `${jaas}.scram.ScramLoginModule required;`,
    [`${login}.scram-sha-512.sasl.jaas.config`]: `${jaas}.scram.ScramLoginModule required;`,
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": keyStore,
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": trustStore,
    "listener.name.mutualtls.ssl.client.auth": "required",
  };
}

async function freePorts(): Promise<SecurePorts> {
  const ports = new Set<number>();
  while (ports.size < 5) ports.add(await freePort());
  const [plaintext = 0, sasl = 0, controller = 0, saslTls = 0, mutualTls = 0] = ports;
  return { plaintext, sasl, controller, saslTls, mutualTls };
}
