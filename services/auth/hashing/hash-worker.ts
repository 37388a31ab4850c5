import { getPriority, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { runHashJob, type HashJob } from "./hash-jobs.ts";

/**
 * Two cores, 200 callers that sign in as fast as they can: without it the event loop was up to 113 ms late (p99) and
 * `GET /health/live` took up to 3 s; with it 19 ms and 32 ms. 19 does no better, and hashes starve on a busy machine.
 */
const niceness = 10;
// On Linux only this thread steps back (setpriority(2): 0 is the calling thread); elsewhere it would be the whole process.
if (process.platform === "linux") setPriority(0, Math.max(getPriority(0), niceness));

parentPort?.on("message", (job: HashJob) => parentPort?.postMessage(runHashJob(job)));
