import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Below the ports that systems give to outgoing connections: one of those could take it before the service does. Above
 * those that `fetch` refuses, of which 10080 is the last (Fetch, "port blocking").
 */
const [first, count] = [10_100, 10_000];
/** Jest numbers its workers from 1: no two of them choose from the same ports. */
const share = first + count * ((Number(process.env["JEST_WORKER_ID"] ?? 1) - 1) % 2);

const given = new Set<number>();

/** A port that was free a moment ago, and that this test file has not been given before: three nodes start at once. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = share + randomInt(count);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
