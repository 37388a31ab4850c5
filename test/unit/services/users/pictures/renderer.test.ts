import { afterEach, describe, expect, test } from "@jest/globals";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRenderer, type Renderer } from "../../../../../services/users/pictures/renderer.ts";
import { eventually } from "../../../../support/eventually.ts";
import { smallPng } from "../../../../support/pictures.ts";
import { rejection } from "../../../helpers.ts";

let renderer: Renderer | undefined;
afterEach(() => renderer?.close());

const notAPicture = {
  type: "invalid_input",
  data: { fields: { image: expect.stringMatching("Upload a valid image.") } },
};
/** A process that does this with what it is sent, instead of rendering it. */
async function running(behaviour: string, limits: { timeLimitMs?: number; idleMs?: number } = {}): Promise<Renderer> {
  const program = join(await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "renderer-")), "program.mjs");
  await writeFile(program, behaviour);
  return (renderer = createRenderer({ program, ...limits }));
}
const answering = (what: string) => `process.on("message", (file) => process.send(${what}));`;
const text = async (by: Renderer, file = "x") => (await by.render(Buffer.from(file))).toString();

describe("the process that renders", () => {
  test("renders, and says why it does not", async () => {
    renderer = createRenderer();
    expect((await renderer.render(smallPng())).subarray(0, 3)).toEqual(Buffer.from([0xff, 0xd8, 0xff]));
    expect(await rejection(renderer.render(Buffer.from("x")))).toMatchObject(notAPicture);
    expect(await rejection(renderer.render(Buffer.alloc(0)))).toMatchObject({
      data: { fields: { image: "The submitted file is empty." } },
    });
  });

  test("is the same for the next picture, and a new one when it had nothing to do for a while", async () => {
    const by = await running(answering("Buffer.from(String(process.pid))"), { idleMs: 200 });
    const first = await text(by);
    expect(await text(by)).toBe(first);
    await eventually("it has ended", () => {
      try {
        process.kill(Number(first), 0);
        return undefined;
      } catch {
        return true;
      }
    });
    expect(await text(by)).not.toBe(first);
  });

  test("has no environment: no secret to be found", async () => {
    process.env["CANARY_SECRET"] = "canary";
    const by = await running(answering("Buffer.from(JSON.stringify(Object.keys(process.env)))"));
    expect(await text(by)).toBe("[]");
    delete process.env["CANARY_SECRET"];
  });

  test("hangs: is killed, and the next one is rendered", async () => {
    const by = await running(
      'process.on("message", (file) => { if (String(Buffer.from(file)) === "hang") for (;;); process.send(Buffer.from("done")); });',
      { timeLimitMs: 1500 },
    );
    expect(await rejection(text(by, "hang"))).toMatchObject({ type: "unavailable" });
    expect(await text(by)).toBe("done");
  });

  test("crashes: the file was no picture, and the next one is rendered", async () => {
    const by = await running(
      'process.on("message", (file) => { if (String(Buffer.from(file)) === "crash") process.kill(process.pid, "SIGSEGV"); process.send(Buffer.from("done")); });',
    );
    expect(await rejection(text(by, "crash"))).toMatchObject(notAPicture);
    expect(await text(by)).toBe("done");
  });

  test("cannot work at all: that is no fault of the file", async () => {
    const by = await running("process.exit(3);");
    const error = await rejection(text(by));
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toHaveProperty("type");
  });
});
