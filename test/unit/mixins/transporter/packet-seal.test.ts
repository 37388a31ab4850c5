import { randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { PacketSeal } from "../../../../mixins/transporter/packet-seal.ts";
import { otherSecret, rotatedSecrets, secret, secrets } from "../../helpers.ts";

const sealOf = (nodeId: string, of: { current: string; previous: string | undefined } = secrets) =>
  new PacketSeal(keyRing(of, "packet"), nodeId);
const text = Buffer.from('{"password":"correct horse battery"}');

describe("PacketSeal: between two nodes with one secret", () => {
  test.each([0, 1, 15, 16, 17, 1000, 1_000_000])("a text of %d bytes arrives", (size) => {
    const [a, b] = [sealOf("a"), sealOf("b")];
    const sent = randomBytes(size);
    expect(b.open("REQ", a.seal("REQ", "b", sent))).toEqual(sent);
  });

  test("what is for all, all can open", () => {
    const packet = sealOf("a").seal("INFO", "", text);
    expect([sealOf("b").open("INFO", packet), sealOf("c").open("INFO", packet)]).toEqual([text, text]);
  });

  test("nothing of the text can be seen, and the same text never looks the same", () => {
    const a = sealOf("a");
    const [one, two] = [a.seal("REQ", "b", text), a.seal("REQ", "b", text)];
    expect(one.includes("horse")).toBe(false);
    expect(one.subarray(28)).not.toEqual(two.subarray(28));
  });
});

describe("PacketSeal: refused", () => {
  test("every single bit that is changed", () => {
    const [a, b] = [sealOf("a"), sealOf("b")];
    const packet = a.seal("REQ", "b", Buffer.from("x"));
    const opened: number[] = [];
    for (let bit = 0; bit < packet.length * 8; bit++) {
      const changed = Buffer.from(packet);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (typeof b.open("REQ", changed) !== "string") opened.push(bit);
    }
    expect([opened, b.open("REQ", packet)]).toEqual([[], Buffer.from("x")]);
  });

  test("every length that is cut, and more than was sent", () => {
    const [a, b] = [sealOf("a"), sealOf("b")];
    const packet = a.seal("REQ", "b", text);
    for (let length = 0; length < packet.length; length++) {
      expect(typeof b.open("REQ", packet.subarray(0, length))).toBe("string");
    }
    expect(b.open("REQ", Buffer.concat([packet, Buffer.of(0)]))).toBe("forged");
  });

  test("as a packet of another type, or at another node", () => {
    const packet = sealOf("a").seal("RES", "b", text);
    expect([sealOf("b").open("REQ", packet), sealOf("c").open("RES", packet)]).toEqual(["forged", "forged"]);
  });

  test("what was for one, sent to all", () => {
    const packet = sealOf("a").seal("REQ", "b", text);
    packet[1] = 0;
    expect(sealOf("b").open("REQ", packet)).toBe("forged");
  });

  test("for all, although its type is always for one", () => {
    const [a, b] = [sealOf("a"), sealOf("b")];
    const types = ["REQ", "RES", "EVENT", "PONG", "WELCOME", "ALIVE"];
    expect(types.map((type) => b.open(type, a.seal(type, "", text)))).toEqual(types.map(() => "forged"));
    const forAll = ["DISCOVER", "INFO", "DISCONNECT", "HEARTBEAT", "PING", "HELLO"];
    expect(forAll.map((type) => b.open(type, a.seal(type, "", text)))).toEqual(forAll.map(() => text));
  });

  test("of another cluster", () => {
    const packet = sealOf("a", { current: otherSecret, previous: undefined }).seal("REQ", "b", text);
    expect(sealOf("b").open("REQ", packet)).toBe("unknown_key");
  });

  test("a second time, however much was sent in between", () => {
    const [a, b] = [sealOf("a"), sealOf("b")];
    const packets = Array.from({ length: 20_000 }, () => a.seal("REQ", "b", text));
    expect(packets.filter((packet) => typeof b.open("REQ", packet) === "string")).toEqual([]);
    for (const at of [0, 1, 5000, 11_807, 11_808, 19_998, 19_999]) {
      expect(b.open("REQ", packets[at] ?? text)).toBe("repeated");
    }
  });
});

describe("PacketSeal: a rotation", () => {
  test("each step can talk to the one before it and the one after it", () => {
    const steps = [
      secrets,
      { current: secret, previous: otherSecret },
      rotatedSecrets,
      { current: otherSecret, previous: undefined },
    ];
    for (let step = 1; step < steps.length; step++) {
      const [before, after] = [sealOf("a", steps[step - 1]), sealOf("b", steps[step])];
      expect(after.open("REQ", before.seal("REQ", "b", text))).toEqual(text);
      expect(before.open("REQ", after.seal("REQ", "a", text))).toEqual(text);
    }
  });
});
