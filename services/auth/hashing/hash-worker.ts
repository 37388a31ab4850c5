import { getPriority, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { runHashJob, type HashJob } from "./hash-jobs.ts";

/**
 * Two cores, 200 callers that sign in as fast as they can: without it the event loop was up to 113 ms late (p99) and
 * `GET /health/live` took up to 3 s; with 10 it was 19 ms and 32 ms, and with 19 no better. 5 leaves a hash a quarter of a
 * core that others want as well: with 10 sign-ins timed out on a machine that was busy with other things.
 */
const niceness = 5;
// On Linux only this thread steps back (setpriority(2): 0 is the calling thread); elsewhere it would be the whole process.
if (process.platform === "linux") setPriority(0, Math.max(getPriority(0), niceness));

parentPort?.on("message", (job: HashJob) => parentPort?.postMessage(runHashJob(job)));
