import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { invalidFields, ServiceError } from "../../../lib/errors.ts";
import { refusals, type Refusal } from "./refusals.ts";

const defaults = {
  program: join(import.meta.dirname, "render-process.ts"),
  /** The costliest picture that there may be takes 1.5 s. */
  timeLimitMs: 8000,
  /** Long enough for somebody who tries one picture after the other. */
  idleMs: 30_000,
};

export interface Renderer {
  /**
   * A file as a picture, see {@link renderPicture}. One at a time.
   * @throws ServiceError `invalid_input` for the field `image`, `unavailable` when it takes too long
   */
  render(file: Buffer): Promise<Buffer>;
  close(): void;
}

/**
 * Decoding files of strangers happens in a process of its own, which starts when it is needed and ends when it no longer is:
 * its memory goes with it, what hangs or breaks in there is killed, and there is neither a secret nor a database.
 */
export function createRenderer(options: Partial<typeof defaults> = {}): Renderer {
  const { program, timeLimitMs, idleMs } = { ...defaults, ...options };
  let child: ChildProcess | undefined;
  let idle: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearTimeout(idle);
    child?.kill("SIGKILL");
    child = undefined;
  };
  return {
    async render(file) {
      clearTimeout(idle);
      child = isAlive(child) ? child : start(program);
      try {
        return await ask(child, file, timeLimitMs);
      } finally {
        idle = setTimeout(stop, idleMs).unref();
      }
    },
    close: stop,
  };
}

const isAlive = (child: ChildProcess | undefined): child is ChildProcess =>
  child?.connected === true && !child.killed && child.exitCode === null && child.signalCode === null;

function start(program: string): ChildProcess {
  const child = fork(program, {
    env: {},
    execArgv: ["--max-old-space-size=64"],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  // Where it cannot be started, sending fails as well.
  child.on("error", () => undefined);
  // It must not keep the service from ending.
  child.unref();
  child.channel?.unref();
  return child;
}

async function ask(child: ChildProcess, file: Buffer, timeLimitMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | Refusal>();
  const ended = (code: number | null): void => {
    // Without a code it was killed, by what the file made it do.
    if (code === null) resolve("notAPicture");
    else reject(new Error(`the process that renders pictures ended with ${code}`));
  };
  const limit = setTimeout(() => {
    // On an overloaded machine no fault of the file.
    reject(new ServiceError("unavailable", { retryAfterSeconds: 5 }));
    child.kill("SIGKILL");
  }, timeLimitMs);
  child.once("message", resolve).once("exit", ended);
  child.send(file, (error) => {
    if (error) reject(error);
  });
  try {
    const answer = await promise;
    if (typeof answer === "string") throw invalidFields({ image: refusals[answer] });
    return Buffer.from(answer);
  } finally {
    clearTimeout(limit);
    child.off("message", resolve).off("exit", ended);
  }
}
