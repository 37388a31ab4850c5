import { setTimeout as sleep } from "node:timers/promises";
import { ServiceError } from "../../../lib/errors.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { Snapshot } from "../../../mixins/database/snapshot.ts";
import { Findings } from "./findings.ts";
import { readSourceUser, type ImportedUser } from "./read-user.ts";
import { absentFromSource, highestSourceId, readSourceUsers, type SourceUser } from "./source.repository.ts";
import { importedIds, moveSequencePast } from "./target.repository.ts";
import { writeBatch, type Outcome } from "./write-batch.ts";

/** Few enough for the time that a statement has on the service's connections (2.5 s), on a slow machine as well. */
const batchSize = 1000;
/** A checkpoint or a lock in the way; what lasts longer ends the run. */
const maxTries = 5;
const pauseMs = 2000;

export interface ImportOptions {
  readonly now: number;
  /** @param read how many accounts of the source were read so far */
  readonly onProgress?: (read: number) => void;
}

/**
 * Takes over what is new or has changed in the source. Each batch is a transaction of its own: after a failure what was
 * written stays, and the next run finds it unchanged.
 * @throws ServiceError `unavailable` when our database is; whatever the source's connection throws
 */
export async function importUsers(source: Snapshot, db: Database, options: ImportOptions): Promise<Findings> {
  const findings = new Findings();
  // First of all: who registers here meanwhile must not get the id of somebody who is still to come.
  await moveSequencePast(db, await highestSourceId(source));
  let waiting: Outcome[] = [];
  let read = 0;
  // Of two accounts whose addresses are one to us the verified one comes first, then the older one.
  for (const verified of [true, false]) {
    for await (const page of sourcePages(source, verified)) {
      const outcomes = await write(db, importable(page, options.now, findings));
      waiting.push(...tellSettled(outcomes, findings));
      options.onProgress?.((read += page.length));
    }
    waiting = await writeWaiting(db, waiting, findings);
  }
  for (const outcome of waiting) tell(outcome, findings);
  await findGone(source, db, findings);
  return findings;
}

async function* sourcePages(source: Snapshot, verified: boolean) {
  for (let after = 0; ;) {
    const page = await readSourceUsers(source, { verified, after, limit: batchSize });
    const last = page.at(-1);
    if (!last) return;
    yield page;
    after = last.id;
  }
}

function importable(page: readonly SourceUser[], now: number, findings: Findings): ImportedUser[] {
  return page.flatMap((row) => {
    const result = readSourceUser(row, now);
    if ("user" in result) return [result.user];
    findings.add(result.skip, row.id);
    return [];
  });
}

async function write(db: Database, users: readonly ImportedUser[]): Promise<Outcome[]> {
  for (let run = 1; ; run++) {
    try {
      return await writeBatch(db, users);
    } catch (error) {
      const isPassing = error instanceof ServiceError && error.type === "unavailable";
      if (!isPassing || run === maxTries) throw error;
      await sleep(pauseMs);
    }
  }
}

/** @returns those that wait for an address which another account may be about to give up */
function tellSettled(outcomes: readonly Outcome[], findings: Findings): Outcome[] {
  return outcomes.filter((outcome) => {
    if (outcome.kind === "address-taken") return true;
    tell(outcome, findings);
    return false;
  });
}

function tell({ kind, user, other }: Outcome, findings: Findings): void {
  findings.add(kind, user.id, other);
  const asInSource = kind === "imported" || kind === "updated" || kind === "unchanged";
  if (asInSource) for (const remark of user.remarks) findings.add(remark, user.id);
}

/**
 * Somebody may have taken an address that somebody else, further on in the source, has left.
 * @returns those for whom there is no hope
 */
async function writeWaiting(db: Database, waiting: readonly Outcome[], findings: Findings): Promise<Outcome[]> {
  for (let before = waiting; ;) {
    const after: Outcome[] = [];
    for (let from = 0; from < before.length; from += batchSize) {
      const users = before.slice(from, from + batchSize).map(({ user }) => user);
      after.push(...tellSettled(await write(db, users), findings));
    }
    if (after.length === before.length) return after;
    before = after;
  }
}

/** Only told: whoever named the wrong source must not have switched off a million accounts. */
async function findGone(source: Snapshot, db: Database, findings: Findings): Promise<void> {
  for (let after = 0; ;) {
    const ids = await importedIds(db, after, 10 * batchSize);
    const last = ids.at(-1);
    if (last === undefined) return;
    for (const id of await absentFromSource(source, ids)) findings.add("gone", id);
    after = last;
  }
}
