import { describe, expect, test } from "@jest/globals";
import { maxMessageBytes, nameOf, readEvent } from "../../../../services/events/read-event.ts";
import { receivedMessage } from "../../../../services/events/received-message.ts";

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function message(value: string | Buffer | null, headers: Record<string, unknown> = {}, key: string | null = "Placed") {
  const bytes = (text: string | Buffer | null) => (text === null ? null : Buffer.from(text));
  const sent = Object.entries(headers).map(([name, header]) => [
    name,
    typeof header === "string" ? Buffer.from(header) : header,
  ]);
  return receivedMessage("orders", 2, {
    key: bytes(key),
    value: bytes(value),
    timestamp: "0",
    attributes: 0,
    offset: "7",
    headers: Object.fromEntries(sent) as Record<string, Buffer>,
  });
}
const read = (...args: Parameters<typeof message>) => readEvent(message(...args));

describe("readEvent: the id", () => {
  test.each([
    ["source and id together", { ce_source: "/orders", ce_id: "7f" }, "/orders 7f"],
    ["an id alone", { ce_id: "7f" }, "7f"],
    ["a source alone says nothing", { ce_source: "/orders" }, "orders/2/7"],
    ["no header", {}, "orders/2/7"],
  ])("%s", (_, headers, id) => {
    expect(read("{}", headers)).toEqual({ event: { id, data: {}, traceparent: undefined } });
  });

  test.each([
    ["empty", { ce_id: "" }, "ce_id"],
    ["with a line break", { ce_id: "a\nb" }, "ce_id"],
    ["with a space, which separates it from the source", { ce_id: "a b" }, "ce_id"],
    ["no ASCII", { ce_id: "é" }, "ce_id"],
    ["of 201 characters", { ce_id: "x".repeat(201) }, "ce_id"],
    ["after a source that is none", { ce_id: "1", ce_source: "" }, "ce_source"],
  ])("%s: poison", (_, headers, name) => {
    expect(read("{}", headers)).toEqual({ poison: `${name} is no identifier` });
  });
});

describe("readEvent: the value", () => {
  test.each([
    ["an object", '{"a":[1,null,"😀"]}', { a: [1, null, "😀"] }],
    ["a number: whether it fits is the contract's to say", "7", 7],
    ["nothing: a tombstone", null, null],
  ])("%s", (_, value, data) => {
    expect(read(value)).toMatchObject({ event: { data } });
  });

  test.each([
    ["nothing between the brackets", "", "no JSON"],
    ["half of it", '{"a":', "no JSON"],
    ["Latin-1", Buffer.from([0x22, 0xe9, 0x22]), "no UTF-8"],
    ["half an emoji", '"\\ud83d"', "a text with a lone surrogate or a zero byte"],
    ["a zero byte", '{"a":["\\u0000"]}', "a text with a lone surrogate or a zero byte"],
    ["__proto__", '{"__proto__":{}}', "a forbidden key"],
    ["constructor, deep inside", '{"a":[{"constructor":1}]}', "a forbidden key"],
    ["33 levels", "[".repeat(33) + "]".repeat(33), "nested too deep"],
    ["too many bytes", `"${"x".repeat(maxMessageBytes)}"`, "too large"],
  ])("%s: poison", (_, value, poison) => {
    expect(read(value)).toEqual({ poison });
  });

  test("a hundred thousand elements, which would be too many arguments: read", () => {
    expect(read(`[${"1,".repeat(150_000)}1]`)).toMatchObject({ event: { id: "orders/2/7" } });
  });

  test("a small value with a megabyte of headers: poison", () => {
    expect(read("{}", { padding: "x".repeat(maxMessageBytes) })).toEqual({ poison: "too large" });
  });
});

test("readEvent: 64 headers are read, 65 are too many", () => {
  const headers = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`h${n}`, "x"]));
  expect(read("{}", headers(64))).toHaveProperty("event");
  expect(read("{}", headers(65))).toEqual({ poison: "too many headers" });
  expect(read("{}", { same: Array.from({ length: 65 }, () => Buffer.from("x")) })).toEqual({
    poison: "too many headers",
  });
});

describe("readEvent: the trace", () => {
  test.each([
    [traceparent, traceparent],
    ["garbage", undefined],
  ])("%s", (header, expected) => {
    expect(read("{}", { traceparent: header })).toMatchObject({ event: { traceparent: expected } });
  });
});

describe("nameOf", () => {
  test("ce_type, else the key, else nothing", () => {
    expect(nameOf(message("{}", { ce_type: "order.placed" }))).toBe("order.placed");
    expect(nameOf(message("{}"))).toBe("Placed");
    expect(nameOf(message("{}", {}, null))).toBe("");
  });
});

describe("receivedMessage: headers", () => {
  test("the first of several, and none without bytes", () => {
    const several = [Buffer.from("a"), Buffer.from("b")];
    const { headers, raw } = message("{}", { several, none: null, "": "x" });
    expect(headers).toEqual({ several: "a", "": "x" });
    expect(raw.headers["several"]).toEqual(several);
  });

  test("what kafkajs found in the prototype of its object is left out", () => {
    const { headers } = message("{}", { constructor: [Object, Buffer.from("x")] });
    expect(headers).toEqual({ constructor: "x" });
  });
});
