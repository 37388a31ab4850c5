/** A thread that signs in with wrong passwords, as fast as so many callers can; says how often it got which status. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { httpClient } from "./http.ts";

export interface Flood {
  readonly url: string;
  readonly callers: number;
  readonly seconds: number;
  /** What a caller waits after it was refused; none comes again at once. */
  readonly pauseMs?: number;
}
export type Statuses = Readonly<Record<number, number>>;

const { url, callers, seconds, pauseMs = 0 } = workerData as Flood;
const send = httpClient(url);
const end = performance.now() + seconds * 1000;
const statuses: Record<number, number> = {};
const flood = async (caller: number): Promise<void> => {
  for (let nth = 0; performance.now() < end; nth++) {
    const email = `flood-${caller}-${nth}@example.com`;
    const status = await send("POST", "/api/v1/tokens/", { email, password: "wrong horse battery" });
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (status === 503 && pauseMs > 0) await sleep(pauseMs);
  }
};
await Promise.all(Array.from({ length: callers }, (_, caller) => flood(caller)));
parentPort?.postMessage(statuses);
