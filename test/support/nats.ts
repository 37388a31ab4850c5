import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { describe } from "@jest/globals";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";
import { endWithThisProcess } from "./process.ts";

export interface RunningNats {
  /** nats://127.0.0.1:port */
  readonly url: string;
  stop(): Promise<void>;
}

/** Debian puts it where an ordinary user's PATH does not look. */
const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` };

/** A `nats-server` on loopback, without persistence; ends with this process. */
export async function startNats(): Promise<RunningNats> {
  const port = await freePort();
  const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { env, stdio: "ignore" });
  const release = endWithThisProcess(child);
  child.unref();
  const exited = once(child, "exit");
  exited.catch(() => undefined);
  await eventually("nats-server answers", async () => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "data");
    socket.destroy();
    return true;
  });
  return {
    url: `nats://127.0.0.1:${port}`,
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
      release();
    },
  };
}

/** `describe`, or a loud `describe.skip` where there is no `nats-server`; with REQUIRE_ALL=1 the tests then fail. */
export function describeWithNats(name: string, tests: () => void): void {
  const available = spawnSync("nats-server", ["--version"], { env }).status === 0;
  if (available || process.env["REQUIRE_ALL"] === "1") {
    describe(name, tests);
  } else {
    process.stderr.write(`\n*** SKIPPED, not tested: "${name}": no nats-server (apt-get install nats-server)\n\n`);
    describe.skip(name, tests);
  }
}
