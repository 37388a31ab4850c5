import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
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

/** Whether there is a `nats-server` (Debian's package of that name; npm has none). */
export const hasNats = (): boolean => spawnSync("nats-server", ["--version"], { env }).status === 0;

/** A `nats-server` on loopback, without persistence; ends with this process. */
export async function startNats(): Promise<RunningNats> {
  const port = await freePort();
  const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port)], { env, stdio: "ignore" });
  const release = endWithThisProcess(child);
  child.unref();
  const exited = once(child, "exit").finally(release);
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
      // Outside of jest nothing else may be left that keeps this process waiting.
      child.ref();
      child.kill("SIGTERM");
      await exited;
    },
  };
}
