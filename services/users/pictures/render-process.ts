import { writeFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { renderPicture } from "./render.ts";

/** What renderer.ts starts: a file comes, a picture or a refusal goes. Has no environment, and so no secret. */
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
// Should memory run out, it is this process that goes (Linux).
await writeFile("/proc/self/oom_score_adj", "1000").catch(() => undefined);

// A signal to the whole group: the service finishes what it has begun, and then ends this process.
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => undefined);
process.on("disconnect", () => process.exit());
process.on("message", (file: Uint8Array) => {
  void renderPicture(Buffer.from(file.buffer, file.byteOffset, file.byteLength)).then((rendered) => {
    process.send?.(rendered);
  });
});
