import { spawnSync } from "node:child_process";
import type { Row } from "../row.ts";

/** What is measured has the first core to itself; the load, and the database that both stand on, share the last one. */
export interface Cores {
  readonly server: string;
  readonly load: string;
  readonly all: string;
}

/** By the cores that this process may use; undefined where there are not two, or no `taskset` (util-linux). */
export const cores = findCores();

function findCores(): Cores | undefined {
  const { status, stdout } = spawnSync("taskset", ["-cp", String(process.pid)], { encoding: "utf8" });
  // "pid 4711's current affinity list: 0-3,8"
  const all = status === 0 ? (stdout.split(":")[1]?.trim() ?? "") : "";
  const numbers = all.split(",").flatMap((range) => range.split("-"));
  const [server, load] = [numbers[0], numbers.at(-1)];
  return server === undefined || load === undefined || server === load ? undefined : { server, load, all };
}

/** Keeps this process, and so whatever it starts, away from the server's core while the row runs. */
export const pinned =
  (row: Row): Row =>
  async (log) => {
    if (!cores) log("NOT PINNED: no taskset, or a single core; server and load disturb each other");
    pinThisProcess(cores?.load);
    try {
      return await row(log);
    } finally {
      pinThisProcess(cores?.all);
    }
  };

function pinThisProcess(to: string | undefined): void {
  if (to !== undefined) spawnSync("taskset", ["-acp", to, String(process.pid)]);
}
