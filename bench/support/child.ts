import { fork } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import type { Profiler } from "node:inspector";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { cores } from "./cores.ts";
import type { Delays, Question, Usage } from "./probe.ts";

export interface Child {
  readonly pid: number;
  /** What it says by `process.send({ ready })`; a node of ours says nothing. @throws when it ends before */
  readonly ready: Promise<string>;
  usage(): Promise<Usage>;
  /** Of the time since they were last asked for. */
  delays(): Promise<Delays>;
  /** Begins a CPU profile (undefined), or ends the one that was begun. */
  profile(): Promise<Profiler.Profile | undefined>;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<void>;
}

interface FromChild {
  readonly ready?: string;
  readonly id?: number;
  readonly answer?: unknown;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Where its output goes; thrown away without. */
  readonly logFile?: string;
  readonly anyCore?: boolean;
  /** Further options of Node, as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[];
}

/** A measured process: on the server's core from its start, with the probe inside. It ends with this one. */
export function startChild(file: string, options: ChildOptions = {}): Child {
  const output = options.logFile === undefined ? "ignore" : openSync(options.logFile, "a");
  // As `npm start` has them, for us and for what we are compared with.
  const v8 = manifest.scripts.start.match(/--\S+/g) ?? [];
  const probe = join(import.meta.dirname, "probe.ts");
  const node = [process.execPath, ...v8, "--import", probe, ...(options.nodeArgs ?? [])];
  // Node and not a shell: `taskset` replaces itself by it, and the IPC channel goes along.
  const pin = cores && options.anyCore !== true ? ["taskset", "-c", cores.server] : [];
  const [execPath = "", ...execArgv] = [...pin, ...node];
  const child = fork(file, options.args ?? [], {
    execPath,
    execArgv,
    // Not the whole environment: what is set here for something else must not configure what is measured.
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env },
    stdio: ["ignore", output, output === "ignore" ? "inherit" : output, "ipc"],
  });
  const exited = once(child, "exit");
  const ready = Promise.withResolvers<string>();
  ready.promise.catch(() => undefined);
  const open = new Map<number, (answer: unknown) => void>();
  child.on("message", (message: FromChild) => {
    if (message.ready !== undefined) ready.resolve(message.ready);
    if (message.id !== undefined) open.get(message.id)?.(message.answer);
  });
  void exited.then(() => ready.reject(new Error(`${file} ended before it was ready`)));

  let asked = 0;
  const ask = async <T>(about: Question["about"]): Promise<T> => {
    const id = ++asked;
    const answer = new Promise((resolve) => open.set(id, resolve));
    child.send({ id, about } satisfies Question);
    const gone = exited.then(() => Promise.reject(new Error(`${file} ended while it was measured`)));
    return (await Promise.race([answer, gone])) as T;
  };
  return {
    pid: child.pid ?? 0,
    ready: ready.promise,
    usage: () => ask<Usage>("usage"),
    delays: () => ask<Delays>("delays"),
    profile: () => ask<Profiler.Profile | undefined>("profile"),
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
