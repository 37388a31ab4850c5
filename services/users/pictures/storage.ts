import { randomBytes } from "node:crypto";
import { mkdir, open, opendir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isPictureName } from "./picture-name.ts";

/**
 * Where pictures are kept, each under a name of its own (picture-name.ts) that is never written twice. A local folder is
 * the first of these; with several nodes of `users` it has to be a shared one, or another storage takes its place here.
 */
export interface PictureStorage {
  /** Once it resolves the picture is there, also after a power cut; until then there is nothing under its name. */
  write(name: string, picture: Buffer): Promise<void>;
  read(name: string): Promise<Buffer | undefined>;
  /** Also of what is not there. */
  remove(name: string): Promise<void>;
  /** Names of pictures that were written before a time (milliseconds since 1970). */
  writtenBefore(time: number): AsyncIterable<string>;
}

const unfinished = ".part";

export function localFolder(folder: string): PictureStorage {
  const pathOf = (name: string): string => {
    // A name becomes a path: whatever else is wrong, it must not lead out of the folder.
    if (!isPictureName(name)) throw new Error("not the name of a picture");
    return join(folder, name);
  };
  return {
    async write(name, picture) {
      const path = pathOf(name);
      const draft = `${path}.${randomBytes(4).toString("hex")}${unfinished}`;
      await mkdir(folder, { recursive: true });
      try {
        await writeDurably(draft, picture);
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
      await syncFolder(folder);
    },
    async read(name) {
      const path = pathOf(name);
      return await readFile(path).catch(undefinedIfMissing);
    },
    async remove(name) {
      await rm(pathOf(name), { force: true });
    },
    async *writtenBefore(time) {
      const entries = await opendir(folder).catch(undefinedIfMissing);
      for await (const { name } of entries ?? []) {
        const path = join(folder, name);
        const written = await stat(path).catch(undefinedIfMissing);
        if (!written || written.mtimeMs >= time) continue;
        if (isPictureName(name)) yield name;
        // Left by a process that was killed while it wrote.
        else if (name.endsWith(unfinished)) await rm(path, { force: true });
      }
    },
  };
}

async function writeDurably(path: string, content: Buffer): Promise<void> {
  const file = await open(path, "wx", 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The rename itself: a profile must not name what a power cut takes back. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function undefinedIfMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
