import type { Readable } from "node:stream";
import { ServiceError } from "../../../lib/errors.ts";
import { readFileStream } from "../../../lib/file-stream.ts";
import { maxPictureBytes } from "../users.contract.ts";

/** Each holds up to 5 MB, from every gateway there is. */
const maxAdmitted = 8;

/** @throws ServiceError `invalid_input` for the field `image`, `unavailable` when too many are at it */
export type Render = (upload: Readable | undefined) => Promise<Buffer>;

/**
 * One picture is decoded at a time, so that memory has a bound; a few wait, and the others are told to come again.
 * @param maxWaitMs what has waited longer is not begun: whoever asked is about to give up
 */
export function createRenderQueue(render: (file: Buffer) => Promise<Buffer>, maxWaitMs = 4000): Render {
  let admitted = 0;
  let last: Promise<unknown> = Promise.resolve();
  return async (upload) => {
    if (admitted >= maxAdmitted) throw unavailable();
    admitted++;
    const since = performance.now();
    try {
      const bytes = await readFileStream(upload, maxPictureBytes);
      const turn = last.then(() => {
        if (performance.now() - since > maxWaitMs) throw unavailable();
        return render(bytes);
      });
      last = turn.catch(() => undefined);
      return await turn;
    } finally {
      admitted--;
    }
  };
}

const unavailable = (): ServiceError => new ServiceError("unavailable", { retryAfterSeconds: 2 });
