import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const pom = join(import.meta.dirname, "pom.xml");
const cache = join(import.meta.dirname, "../../.cache/kafka");

/** The broker of Kafka 4 is compiled for Java 17. */
const oldestJava = 17;

/** @returns true, or the reason why a broker cannot be started on this machine. */
export function kafkaAvailable(): true | string {
  const java = javaVersion();
  if (java === undefined) return `no "java" in PATH (Java ${oldestJava} or newer is needed)`;
  if (java < oldestJava) return `Java ${java} is too old: ${oldestJava} or newer is needed`;
  if (existsSync(jarFolder())) return true;
  if (spawnSync("mvn", ["-version"], { stdio: "ignore" }).status !== 0) {
    return `no "mvn" in PATH to fetch the broker's jars, and none are cached in .cache/kafka`;
  }
  return true;
}

/** Fetches the broker's jars at the first call (44 MB, needs Maven); later calls only look at the cache. */
export async function kafkaClassPath(): Promise<string> {
  const folder = jarFolder();
  if (!existsSync(folder)) await fetchJars(folder);
  // Sorted: a class-data archive is only valid for the very class path that it was made with.
  const jars = (await readdir(folder)).filter((name) => name.endsWith(".jar")).sort();
  return jars.map((name) => join(folder, name)).join(delimiter);
}

/**
 * Where a dynamic class-data archive may lie. With it the broker starts in 1.0 s instead of 2.7 s and the storage tool
 * runs 0.8 s instead of 1.7 s (2 cores, Java 17); a JVM that finds it unsuitable ignores it.
 */
export const classDataArchive = (): string => `${jarFolder()}-java${javaVersion() ?? ""}.jsa`;

function jarFolder(): string {
  const text = readFileSync(pom, "utf8");
  const version = /<kafka\.version>([^<]+)</.exec(text)?.[1] ?? "unknown";
  return join(cache, `${version}-${createHash("sha256").update(text).digest("hex").slice(0, 8)}`);
}

let knownJavaVersion: number | undefined;

function javaVersion(): number | undefined {
  // `java -version` answers on stderr: openjdk version "17.0.15" 2025-04-15
  knownJavaVersion ??= Number(/version "(\d+)/.exec(spawnSync("java", ["-version"], { encoding: "utf8" }).stderr)?.[1]);
  return Number.isNaN(knownJavaVersion) ? undefined : knownJavaVersion;
}

/** The rename is the commit: an interrupted download is never taken for complete, of two at once the later yields. */
async function fetchJars(folder: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const download = await mkdtemp(join(cache, ".download-"));
  try {
    const goal = ["-q", "-B", "-f", pom, "dependency:copy-dependencies", `-DoutputDirectory=${download}`];
    await promisify(execFile)("mvn", goal, { maxBuffer: 64 * 2 ** 20 }).catch((error: unknown) => {
      if (existsSync(folder)) return;
      throw new Error(`Maven could not fetch the Kafka broker: ${(error as { stdout?: string }).stdout ?? ""}`, {
        cause: error,
      });
    });
    await rename(download, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}
