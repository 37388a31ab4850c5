import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { freePort } from "./ports.ts";
import { endWithThisProcess } from "./process.ts";

export interface RunningNats {
  /** nats://127.0.0.1:port */
  readonly url: string;
  readonly port: number;
  /** Another configuration, without a restart. */
  reload(config: string): Promise<void>;
  stop(): Promise<void>;
}

/** Debian puts it where an ordinary user's PATH does not look. */
const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin` };

/** Whether there is a `nats-server` (Debian's package of that name; npm has none). */
export const hasNats = (): boolean => spawnSync("nats-server", ["--version"], { env }).status === 0;

/**
 * A `nats-server` on loopback, without persistence; ends with this process.
 * @param config users and certificates, in its own language
 */
export async function startNats(config = ""): Promise<RunningNats> {
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "nats-"));
  const file = join(folder, "nats.conf");
  await writeFile(file, config);
  const child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), "-c", file], { env, stdio: "ignore" });
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
    port,
    reload: async (changed) => {
      await writeFile(file, changed);
      child.kill("SIGHUP");
    },
    stop: async () => {
      // Outside of jest nothing else may be left that keeps this process waiting.
      child.ref();
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}
