import type { Database } from "../../../mixins/database/database.ts";
import { namedPictures } from "./pictures.repository.ts";
import { ownerOf, pathOf } from "./picture-name.ts";
import type { PictureStorage } from "./storage.ts";

/** Longer than any upload takes: what a profile is about to name is younger. */
const minAgeMs = 60 * 60 * 1000;
const batchSize = 500;

/**
 * Removes the pictures that no profile names: of a process that was killed between the two, or could not know whether its
 * transaction had committed. Names are never given twice, so what nobody names after an hour nobody ever will.
 * @returns how many were removed
 */
export async function sweepPictures(db: Database, storage: PictureStorage, now: number): Promise<number> {
  let removed = 0;
  let batch: string[] = [];
  const sweepBatch = async (): Promise<void> => {
    const named = await namedPictures(db, [...new Set(batch.map(ownerOf))]);
    for (const name of batch.filter((each) => !named.has(pathOf(each)))) {
      await storage.remove(name);
      removed++;
    }
    batch = [];
  };
  for await (const name of storage.writtenBefore(now - minAgeMs)) {
    batch.push(name);
    if (batch.length === batchSize) await sweepBatch();
  }
  if (batch.length > 0) await sweepBatch();
  return removed;
}
