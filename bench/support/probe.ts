/**
 * Loaded into every measured process (`node --import`), and asked over IPC: how much CPU time and memory it has used, and,
 * once it was told to watch, how late its event loop is and how long `dns` and `fs` take, which need Node's thread pool.
 */
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { Session, type Profiler } from "node:inspector/promises";
import { createHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { isMainThread } from "node:worker_threads";

export interface Usage {
  /** User and system time of all threads since the start, in milliseconds. */
  readonly cpu: number;
  /** Resident memory in MB. */
  readonly rss: number;
}
/** 99th percentiles in milliseconds since the last report. */
export interface Delays {
  readonly eventLoop: number;
  readonly dns: number;
  readonly fs: number;
}
export interface Question {
  readonly id: number;
  readonly about: "usage" | "delays" | "profile";
}

let delays: (() => Delays) | undefined;

/** Watching costs CPU time, so it begins with the first question. */
function watch(): () => Delays {
  const eventLoop = monitorEventLoopDelay({ resolution: 1 });
  const [dns, fs] = [createHistogram(), createHistogram()];
  eventLoop.enable();
  setInterval(() => {
    const begun = performance.now();
    const took = () => Math.max(1, Math.round((performance.now() - begun) * 1e6));
    void lookup("localhost").then(() => dns.record(took()));
    void readFile(import.meta.filename).then(() => fs.record(took()));
  }, 20).unref();
  return () => {
    const p99 = {
      eventLoop: eventLoop.percentile(99) / 1e6,
      dns: dns.percentile(99) / 1e6,
      fs: fs.percentile(99) / 1e6,
    };
    for (const histogram of [eventLoop, dns, fs]) histogram.reset();
    return p99;
  };
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpu: (user + system) / 1000, rss: process.memoryUsage.rss() / 1e6 };
}

let profiling: Session | undefined;

/** Begins a CPU profile, and ends it with the next question. */
async function profile(): Promise<Profiler.Profile | undefined> {
  if (profiling) {
    const { profile } = await profiling.post("Profiler.stop");
    profiling.disconnect();
    profiling = undefined;
    return profile;
  }
  profiling = new Session();
  profiling.connect();
  await profiling.post("Profiler.enable");
  await profiling.post("Profiler.setSamplingInterval", { interval: 200 });
  await profiling.post("Profiler.start");
  return undefined;
}

const answers: Readonly<Record<Question["about"], () => unknown>> = {
  usage,
  delays: () => (delays ??= watch())(),
  profile,
};

if (isMainThread) {
  process.on("message", ({ id, about }: Question) => {
    void Promise.resolve(answers[about]()).then((answer) => process.send?.({ id, answer }));
  });
  // Whoever measures is gone.
  process.on("disconnect", () => process.exit(1));
}
