import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer, Socket } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { classDataArchive, kafkaClassPath } from "./jars.ts";
import {
  properties,
  propertyLines,
  type KafkaCredentials,
  type KafkaPorts,
  type Member,
  type Setup,
} from "./properties.ts";

export { kafkaAvailable } from "./jars.ts";
export type { KafkaCredentials, KafkaPorts, Member } from "./properties.ts";

export interface RunningKafka {
  /** host:port, no authentication: for command-line tools. */
  readonly plaintext: string;
  /** host:port, SASL over plain TCP: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, one user for all three. */
  readonly sasl: string;
  readonly user: string;
  readonly password: string;
  readonly ports: KafkaPorts;
  readonly pid: number;
  /** Resolves when the broker has ended, whoever ended it. */
  readonly exited: Promise<void>;
  /** Ends it in order (about a second), by force after 20 seconds. */
  stop(): Promise<void>;
  /** Ends it as a power cut would. */
  kill(): void;
}

const startLimitMs = 90_000;
const stopLimitMs = 20_000;

/** C1 only, serial collector: a broker that lives for minutes is up sooner and smaller than with the server defaults. */
const jvm = ["-Xshare:auto", "-Xlog:disable", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms64m"];
const defaultHeapMb = 384;
const logging = [
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
  "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
  "-Dorg.slf4j.simpleLogger.showThreadName=false",
];

/**
 * Starts a real single-node Apache Kafka (KRaft: broker and controller in one JVM) on loopback, and resolves when it
 * takes requests: about 2 s on known data, 3 s on an empty `dir`, 5 s the very first time after the jars were fetched.
 *
 * The same `dir` gives the same data, user and password again. Topics are not created by being written to.
 * The broker ends with the process that started it, even if that one is killed.
 *
 * @param options.ports free ones are chosen when left out
 * @param options.advertisedSasl the port that clients of the SASL listener are told of, where a proxy stands before it
 * @param options.credentials made and kept in `dir` when left out
 * @param options.overrides server properties that win over ours
 */
export async function startKafka(options: {
  readonly dir: string;
  readonly ports?: KafkaPorts;
  readonly advertisedSasl?: number;
  readonly credentials?: KafkaCredentials;
  readonly member?: Member;
  readonly heapMb?: number;
  readonly overrides?: Readonly<Record<string, string>>;
}): Promise<RunningKafka> {
  const dir = resolve(options.dir);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const ports = options.ports ?? (await freeKafkaPorts());
  const credentials = options.credentials ?? (await credentialsOf(dir));
  const setup: Setup = {
    ports,
    credentials,
    advertisedSasl: options.advertisedSasl ?? ports.sasl,
    member: options.member ?? alone(ports),
  };
  const classPath = await kafkaClassPath();
  if (!existsSync(join(dir, "data"))) await format(dir, setup, classPath);
  const config = join(dir, "server.properties");
  const ours = properties(join(dir, "data"), setup);
  await writePrivately(config, ours + propertyLines(options.overrides ?? {}));

  const archive = classDataArchive();
  const newArchive = existsSync(archive) ? undefined : `${archive}.${randomUUID()}`;
  const sharing = newArchive ? `-XX:ArchiveClassesAtExit=${newArchive}` : `-XX:SharedArchiveFile=${archive}`;
  const heap = `-Xmx${options.heapMb ?? defaultHeapMb}m`;
  const child = spawn("java", [...jvm, heap, sharing, ...logging, "-cp", classPath, "kafka.Kafka", config], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // Ctrl-C in a terminal goes to the starter alone, which then stops the broker in order
  });
  const exited = new Promise<void>((done) => {
    child.once("exit", () => done());
    child.once("error", () => done());
  });
  const release = endWithThisProcess(child);
  const ended = exited.then(async () => {
    release();
    if (newArchive) await rename(newArchive, archive).catch(() => undefined); // no archive after a kill
  });

  try {
    await untilStarted(child, exited, join(dir, "broker.log"));
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  }
  return {
    plaintext: `127.0.0.1:${ports.plaintext}`,
    sasl: `127.0.0.1:${ports.sasl}`,
    ...credentials,
    ports,
    pid: child.pid ?? 0,
    exited: ended,
    kill: () => void child.kill("SIGKILL"),
    async stop() {
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
      await ended;
      clearTimeout(force);
    },
  };
}

const alone = ({ controller }: KafkaPorts): Member => ({
  nodeId: 1,
  voters: `1@127.0.0.1:${controller}`,
  clusterId: newClusterId(),
  replication: 1,
  minInSync: 1,
});

/** A leading dash would be read as an option. */
export const newClusterId = (): string => randomBytes(16).toString("base64url").replace(/^-/, "A");

async function credentialsOf(dir: string): Promise<KafkaCredentials> {
  const file = join(dir, "credentials.json");
  if (existsSync(file)) return JSON.parse(await readFile(file, "utf8")) as KafkaCredentials;
  const credentials = { user: "identity", password: randomBytes(18).toString("base64url") };
  await writePrivately(file, JSON.stringify(credentials));
  return credentials;
}

/** Writes the cluster's id and the SCRAM credentials; into a folder of its own, so that a half-done one is not used. */
async function format(dir: string, setup: Setup, classPath: string) {
  const { user, password } = setup.credentials;
  const unfinished = join(dir, "data.unfinished");
  const config = join(dir, "format.properties");
  const argFile = join(dir, "format.args");
  await rm(unfinished, { recursive: true, force: true });
  await writePrivately(config, properties(unfinished, setup));
  const scram = (mechanism: string) => ["--add-scram", `${mechanism}=[name=${user},password=${password}]`];
  const tool = ["kafka.tools.StorageTool", "format", "-t", setup.member.clusterId, "-c", config];
  const sharing = `-XX:SharedArchiveFile=${classDataArchive()}`;
  const args = [...jvm, sharing, ...logging, "-cp", classPath, ...tool];
  const all = [...args, ...scram("SCRAM-SHA-256"), ...scram("SCRAM-SHA-512")];
  // In a file, not on the command line, where every user of the machine could read the password.
  await writePrivately(argFile, all.map((arg) => `"${arg.replaceAll("\\", "\\\\")}"`).join("\n"));
  try {
    await promisify(execFile)("java", [`@${argFile}`]);
  } catch (error) {
    throw new Error(`Kafka could not format ${dir}: ${(error as { stderr?: string }).stderr ?? ""}`, { cause: error });
  } finally {
    await rm(argFile, { force: true });
  }
  await rename(unfinished, join(dir, "data"));
}

function untilStarted(child: ChildProcess, exited: Promise<void>, logFile: string): Promise<void> {
  const file = createWriteStream(logFile, { flags: "a", mode: 0o600 });
  let recent = "";
  return new Promise((started, failed) => {
    const fail = (what: string) => failed(new Error(`Kafka ${what} (log: ${logFile})\n${recent.trim()}`));
    const limit = setTimeout(() => fail(`was not up within ${startLimitMs} ms`), startLimitMs);
    child.once("error", (error) => fail(`could not be started: ${error.message}`));
    void exited.then(() => {
      clearTimeout(limit);
      file.end();
      setImmediate(() => fail("ended while starting"));
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        file.write(text);
        recent = (recent + text).split("\n").slice(-30).join("\n");
        if (!recent.includes("Kafka Server started")) return;
        clearTimeout(limit);
        started();
      });
    }
  });
}

/** A shell holds the other end of a pipe: when this process is gone, however it went, the pipe closes and it kills. */
function endWithThisProcess(child: ChildProcess): () => void {
  if (child.pid === undefined) return () => undefined;
  const guard = spawn("sh", ["-c", `cat; kill -9 ${child.pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.on("error", () => undefined);
  guard.unref();
  if (guard.stdin instanceof Socket) guard.stdin.unref();
  return () => void guard.kill("SIGKILL");
}

/** Free ones, below the range from which systems take the ports of outgoing connections: those cannot come in between. */
export async function lastingPorts(count: number): Promise<number[]> {
  const free = new Set<number>();
  while (free.size < count) {
    const port = randomInt(20_000, 30_000);
    const isFree = await new Promise<boolean>((answer) => {
      const probe = createServer().once("error", () => answer(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => answer(true)));
    });
    if (isFree) free.add(port);
  }
  return [...free];
}

export async function freeKafkaPorts(): Promise<KafkaPorts> {
  const [plaintext = 0, sasl = 0, controller = 0] = await lastingPorts(3);
  return { plaintext, sasl, controller };
}

async function writePrivately(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 });
}
