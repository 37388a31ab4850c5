import { describe, expect, test } from "@jest/globals";
import { fileStream } from "../../../../../lib/file-stream.ts";
import { createRenderQueue } from "../../../../../services/users/pictures/render-queue.ts";
import { rejection } from "../../../helpers.ts";

const file = (text: string) => fileStream([Buffer.from(text)]);
const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

/** Renders when told to, and remembers what it was given. */
function byHand() {
  const begun: { name: string; finish: (picture: Buffer) => void; fail: (error: Error) => void }[] = [];
  const render = (bytes: Buffer) =>
    new Promise<Buffer>((finish, fail) => void begun.push({ name: bytes.toString(), finish, fail }));
  return { begun, render };
}

describe("the queue of pictures", () => {
  test("one at a time, in the order in which they came", async () => {
    const { begun, render } = byHand();
    const queue = createRenderQueue(render);
    const all = Promise.all(["a", "b", "c"].map((name) => queue(file(name))));
    for (let at = 0; at < 3; at++) {
      await settled();
      expect(begun).toHaveLength(at + 1);
      begun[at]?.finish(Buffer.from(`${begun[at]?.name ?? ""}!`));
    }
    expect((await all).map(String)).toEqual(["a!", "b!", "c!"]);
  });

  test("one that fails does not hold up the next", async () => {
    const { begun, render } = byHand();
    const queue = createRenderQueue(render);
    const [first, second] = [queue(file("a")), queue(file("b"))];
    const refused = rejection(first);
    await settled();
    begun[0]?.fail(new Error("no picture"));
    expect(await refused).toMatchObject({ message: "no picture" });
    await settled();
    begun[1]?.finish(Buffer.from("b!"));
    expect(String(await second)).toBe("b!");
  });

  test("one that has waited too long is not begun", async () => {
    const { begun, render } = byHand();
    const queue = createRenderQueue(render, 20);
    const first = queue(file("a"));
    const second = rejection(queue(file("b")));
    await settled();
    begun[0]?.finish(Buffer.from("a!"));
    expect(String(await first)).toBe("a!");
    expect(await second).toMatchObject({ type: "unavailable" });
    expect(begun).toHaveLength(1);
  });

  test("the ninth is told to come again, and finds room when one is done", async () => {
    const { begun, render } = byHand();
    const queue = createRenderQueue(render);
    const eight = Array.from({ length: 8 }, (_, n) => queue(file(String(n))));
    const ninth = await rejection(queue(file("9")));
    expect(ninth).toMatchObject({ type: "unavailable", data: { retryAfterSeconds: 2 } });
    await settled();
    begun[0]?.finish(Buffer.from("done"));
    await eight[0];
    const late = queue(file("late"));
    for (let at = 1; at < 9; at++) {
      await settled();
      begun[at]?.finish(Buffer.from("done"));
    }
    expect(String(await late)).toBe("done");
  });
});
