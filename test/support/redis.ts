import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { describe } from "@jest/globals";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";
import { endWithThisProcess } from "./process.ts";

export interface RunningRedis {
  readonly port: number;
  /** redis://127.0.0.1:port */
  readonly url: string;
  stop(): Promise<void>;
}

/** A `redis-server` on loopback, in memory alone; ends with this process. */
export async function startRedis(...options: readonly string[]): Promise<RunningRedis> {
  const port = await freePort();
  const own = ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", [...own, ...options], { stdio: "ignore" });
  const release = endWithThisProcess(child);
  child.unref();
  const exited = once(child, "exit").finally(release);
  exited.catch(() => undefined);
  await eventually("redis-server answers", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("PING\r\n");
    await once(socket, "data");
    socket.destroy();
    return true;
  });
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** `describe`, or a loud `describe.skip` where there is no `redis-server`; with REQUIRE_ALL=1 the tests then fail. */
export function describeWithRedis(name: string, tests: () => void): void {
  const available = spawnSync("redis-server", ["--version"]).status === 0;
  if (available || process.env["REQUIRE_ALL"] === "1") {
    describe(name, tests);
  } else {
    process.stderr.write(`\n*** SKIPPED, not tested: "${name}": no redis-server (apt-get install redis-server)\n\n`);
    describe.skip(name, tests);
  }
}
