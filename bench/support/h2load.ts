import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";

/** Of nghttp2 (Debian: nghttp2-client): as "h2load nghttp2/1.52.0"; undefined where there is none. */
export function h2loadVersion(): string | undefined {
  const { status, stdout } = spawnSync("h2load", ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Calls per second of one gRPC request, again and again. @throws Error when one of them got no HTTP answer */
export async function h2load(
  address: string,
  path: string,
  request: Buffer,
  { connections, streams, seconds }: { connections: number; streams: number; seconds: number },
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "h2load-"));
  const file = join(folder, "request");
  try {
    await writeFile(file, request);
    const shape = ["-c", String(connections), "-m", String(streams), "-D", String(seconds), "--warm-up-time", "1"];
    const headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"];
    const child = spawn("h2load", [...shape, ...headers, "-d", file, `http://${address}${path}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [output] = await Promise.all([text(child.stdout), once(child, "exit")]);
    const rate = /finished in .*, ([0-9.]+) req\/s/.exec(output)?.[1];
    const failed = /([0-9]+) failed/.exec(output)?.[1];
    if (rate === undefined || failed !== "0") throw new Error(`h2load went wrong\n${output}`);
    return Number(rate);
  } finally {
    await rm(folder, { recursive: true });
  }
}
