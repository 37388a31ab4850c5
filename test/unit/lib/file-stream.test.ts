import { describe, expect, test } from "@jest/globals";
import { Readable } from "node:stream";
import { fileStream, readFileStream } from "../../../lib/file-stream.ts";
import { rejection } from "../helpers.ts";

const bytes = (size: number): Buffer => Buffer.from(Array.from({ length: size }, (_, at) => at % 251));

describe("a file as a stream", () => {
  test.each([[[]], [[0]], [[1]], [[1, 2, 3]], [[98_304]], [[98_305, 7]], [[300_000, 0, 1, 200_001]]])(
    "%j bytes: arrive as they were sent",
    async (sizes) => {
      const parts = sizes.map(bytes);
      const whole = Buffer.concat(parts);
      expect((await readFileStream(fileStream(parts), whole.length)).equals(whole)).toBe(true);
    },
  );

  test("no message is near the megabyte that NATS takes", async () => {
    const lengths: number[] = [];
    for await (const message of fileStream([bytes(1_000_000)])) lengths.push(String(message).length);
    expect(Math.max(...lengths)).toBeLessThan(200_000);
    expect(lengths.length).toBeLessThan(20);
  });

  test("what came in chunks of 200 bytes is not sent in messages of 200 bytes", async () => {
    const parts = Array.from({ length: 5000 }, () => bytes(200));
    const messages: string[] = [];
    for await (const message of fileStream(parts)) messages.push(String(message));
    expect(messages.length).toBeLessThan(70);
    expect((await readFileStream(Readable.from(messages), 1_000_000)).equals(Buffer.concat(parts))).toBe(true);
  });

  test("without a stream: an empty file", async () => {
    expect(await readFileStream(undefined, 10)).toHaveLength(0);
  });

  test("more than allowed: refused, and the rest is not read", async () => {
    const stream = fileStream([bytes(1_000_000)]);
    expect(await rejection(readFileStream(stream, 500_000))).toMatchObject({ type: "body_too_large" });
    expect(stream.destroyed).toBe(true);
  });

  test("a stream that fails, or was given up: unavailable", async () => {
    const failing = new Readable({ read: () => undefined });
    const read = readFileStream(failing, 10);
    failing.destroy(new Error("the node has gone"));
    expect(await rejection(read)).toMatchObject({ type: "unavailable" });
  });

  test("one of which something was lost: unavailable after some seconds", async () => {
    const endless = new Readable({ read: () => undefined });
    expect(await rejection(readFileStream(endless, 10))).toMatchObject({ type: "unavailable" });
    expect(endless.destroyed).toBe(true);
  });
});
