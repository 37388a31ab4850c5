import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 60_000;

/**
 * Does the work while no other process does any under the same lock file.
 *
 * SQLite brings what Node has not: a lock between processes that the kernel releases when its holder is killed.
 *
 * @throws Error when the lock stays taken for a minute
 */
export async function underLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const lock = new DatabaseSync(file);
  const deadline = Date.now() + PATIENCE_MS;
  try {
    while (!tryLock(lock)) {
      if (Date.now() > deadline) throw new Error(`Another process has held ${file} for a minute.`);
      await sleep(50);
    }
    return await work();
  } finally {
    lock.close();
  }
}

function tryLock(lock: DatabaseSync): boolean {
  const SQLITE_BUSY = 5;
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    // Not instanceof: in a test's vm context Error is another class.
    if (typeof error === "object" && error !== null && "errcode" in error && error.errcode === SQLITE_BUSY)
      return false;
    throw error;
  }
}
