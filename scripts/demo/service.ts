import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Config } from "../../lib/config.ts";
import { wait } from "./report.ts";

export interface Service {
  /** Where it answers on this machine; `PUBLIC_URL` may be the address of a proxy. */
  readonly url: string;
  readonly grpcAddress: string;
  /** Whether it ran before the demo. */
  readonly found: boolean;
  /** Ends what the demo has started. */
  stop(): Promise<void>;
}

const startWithinMs = 15_000;
const root = join(import.meta.dirname, "../..");

/** The service that runs already, or one of our own. */
export async function findOrStartService({ web, grpc }: Config): Promise<Service> {
  const url = `http://${reachable(web.host)}:${web.port}`;
  const grpcAddress = `${reachable(grpc.host)}:${grpc.port}`;
  if (await isReady(url)) return { url, grpcAddress, found: true, stop: () => Promise.resolve() };

  console.log(`Nothing answers at ${url}: starting the service ...`);
  let output = "";
  const child = spawn(process.execPath, [join(root, "main.ts")], { stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-4000)));
  }
  // However the demo ends: what it has started must not stay.
  process.once("exit", () => child.kill("SIGTERM"));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) child.kill("SIGTERM");
    await ended;
  };
  const outcome = await wait(async () => {
    if (child.exitCode !== null) return "ended";
    return (await isReady(url)) ? "ready" : undefined;
  }, startWithinMs);
  if (outcome === "ready") return { url, grpcAddress, found: false, stop };
  await stop();
  throw new Error(`The service was not ready within ${startWithinMs / 1000} s. It said:\n${output}`);
}

const reachable = (host: string): string => (host === "0.0.0.0" ? "127.0.0.1" : host);

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2000) });
    return response.status === 200;
  } catch {
    return false;
  }
}
