import { describe, expect, test } from "@jest/globals";
import { readOnce } from "../../../../services/api-gateway/docs-page.ts";

/** A file that cannot be read the first times. */
function failing(times: number) {
  let reads = 0;
  return readOnce(() => {
    reads++;
    return reads <= times ? Promise.reject(new Error("EMFILE")) : Promise.resolve(`read ${reads}`);
  });
}

describe("readOnce", () => {
  test("asked twice at once, and once more: read once", async () => {
    const file = failing(0);
    expect([...(await Promise.all([file(), file()])), await file()]).toEqual(["read 1", "read 1", "read 1"]);
  });

  test("a read that failed: whoever waited is told, the next one has it read again, and that is kept", async () => {
    const file = failing(1);
    const waiting = await Promise.allSettled([file(), file()]);
    expect(waiting.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect([await file(), await file()]).toEqual(["read 2", "read 2"]);
  });
});
