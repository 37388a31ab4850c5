import { spawn, type ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import { join } from "node:path";
import { eventually } from "./eventually.ts";

const root = join(import.meta.dirname, "../..");
/** What the service promises: SIGTERM to exit (DESIGN.md), and `npm start` to ready (issue 2). */
const stopLimitMs = 15_000;
const startLimitMs = 30_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServiceProcess {
  readonly pid: number;
  /** Everything on stdout so far. */
  stdout(): string;
  stderr(): string;
  /** The JSON log lines so far; with `NODE_ENV=production` that is all of them. */
  logs(): Record<string, unknown>[];
  /** Resolves when the process has ended, whoever ended it. */
  readonly exited: Promise<Exit>;
  /** Resolves when all services of the process have started. @throws with its output when it ends before */
  ready(): Promise<void>;
  /** SIGTERM. @throws unless it exits with 0 within 15 s */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/**
 * `node main.ts` as a process of its own, in a folder without a `.env`, with this environment and no other. It ends with
 * the process that started it, however that one ends.
 *
 * @param options.imports modules that are loaded before main.ts (`node --import`)
 */
export function startProcess(
  env: Readonly<Record<string, string>>,
  options: { imports?: readonly string[] } = {},
): ServiceProcess {
  const imports = (options.imports ?? []).flatMap((file) => ["--import", file]);
  const child = spawn(process.execPath, [...imports, join(root, "main.ts")], {
    cwd: env["DATA_DIR"] ?? process.env["TEST_FOLDER"],
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  const release = endWithThisProcess(child);
  // Forgotten, or left by a test that failed, it must not keep jest from ending (which then ends it).
  child.unref();
  for (const stream of [child.stdout, child.stderr]) if (stream instanceof Socket) stream.unref();
  // "close" and not "exit": then all of the output has been read.
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      release();
      resolve({ code, signal });
    });
  });
  exited.catch(() => undefined);
  const tail = () => `${output.stdout}\n${output.stderr}`.slice(-4000);
  const failed = (what: string) => new Error(`main.ts (process ${child.pid ?? 0}) ${what}\n${tail()}`);

  return {
    pid: child.pid ?? 0,
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    logs: () => output.stdout.split("\n").flatMap(parsed),
    ready: async () => {
      const up = await eventually(
        "main.ts is ready",
        () => (child.exitCode ?? child.signalCode) !== null || (/\bready: http/.test(output.stdout) ? "up" : undefined),
        startLimitMs,
      ).catch((error: unknown) => {
        throw failed(String(error));
      });
      if (up === true) throw failed("ended before it was ready");
    },
    stop: async () => {
      const began = Date.now();
      child.kill("SIGTERM");
      const force = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
      const { code, signal } = await exited;
      clearTimeout(force);
      if (code !== 0) throw failed(`ended with ${code ?? signal ?? ""} ${Date.now() - began} ms after SIGTERM`);
    },
    kill: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A shell holds the other end of a pipe: when this process is gone, however it went, the pipe closes and it kills. */
export function endWithThisProcess(child: ChildProcess): () => void {
  if (child.pid === undefined) return () => undefined;
  const guard = spawn("sh", ["-c", `cat > /dev/null; kill -9 ${child.pid}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.on("error", () => undefined);
  guard.unref();
  if (guard.stdin instanceof Socket) guard.stdin.unref();
  return () => {
    guard.kill("SIGKILL");
    guard.stdin.destroy();
  };
}

function parsed(line: string): Record<string, unknown>[] {
  try {
    return line.startsWith("{") ? [JSON.parse(line) as Record<string, unknown>] : [];
  } catch {
    return [];
  }
}
