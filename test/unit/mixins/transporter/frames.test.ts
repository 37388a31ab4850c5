import { describe, expect, test } from "@jest/globals";
import { frame, FrameReader } from "../../../../mixins/transporter/frames.ts";

function read(pieces: readonly Buffer[], maxBytes = 1000): string[] {
  const reader = new FrameReader();
  const taken: string[] = [];
  for (const piece of pieces) {
    reader.push(
      piece,
      () => maxBytes,
      (type, data) => taken.push(`${type} ${data.toString()}`),
    );
  }
  return taken;
}
const two = Buffer.concat([
  frame("REQ", Buffer.from("first")),
  frame("PONG", Buffer.alloc(0)),
  frame("RES", Buffer.from("x")),
]);
const whole = ["REQ first", "PONG ", "RES x"];

describe("FrameReader", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 11, 100])("in pieces of %d bytes: the same packets", (size) => {
    const pieces = Array.from({ length: Math.ceil(two.length / size) }, (_, n) =>
      two.subarray(n * size, (n + 1) * size),
    );
    expect(read(pieces)).toEqual(whole);
  });

  test("a length beyond the limit is refused by its header alone", () => {
    for (const length of [1001, 2 ** 31, 2 ** 32 - 1]) {
      const header = Buffer.alloc(5);
      header.writeUInt32BE(length);
      expect(() => read([header])).toThrow("no packet of ours");
    }
    expect(read([frame("REQ", Buffer.alloc(1000))])).toHaveLength(1);
  });

  test.each([13, 14, 255])("type %d is none", (type) => {
    expect(() => read([Buffer.of(0, 0, 0, 0, type)])).toThrow("no packet of ours");
  });

  test("the limit is asked for each packet: one that is taken may raise it", () => {
    const reader = new FrameReader();
    let limit = 5;
    const taken: number[] = [];
    const take = (_: string, data: Buffer) => {
      taken.push(data.length);
      limit = 100;
    };
    reader.push(
      Buffer.concat([frame("DISCOVER", Buffer.alloc(5)), frame("INFO", Buffer.alloc(99))]),
      () => limit,
      take,
    );
    expect(taken).toEqual([5, 99]);
  });
});
