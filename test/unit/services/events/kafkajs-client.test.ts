import { createRequire } from "node:module";
import { describe, expect, test } from "@jest/globals";
import { KafkaError, maxHeaders, toKafkaError } from "../../../../services/events/kafkajs-client.ts";

const named = (name: string, message: string, more: object = {}) =>
  Object.assign(new Error(message), { name, ...more });

describe("toKafkaError", () => {
  test("one of ours stays what it is", () => {
    const error = new KafkaError("closed", "by us");
    expect(toKafkaError(error)).toBe(error);
  });

  test.each([
    ["a wrong password", named("KafkaJSSASLAuthenticationError", "no"), "authentication"],
    [
      "a mechanism that the broker does not know",
      named("KafkaJSProtocolError", "no", { type: "UNSUPPORTED_SASL_MECHANISM" }),
      "authentication",
    ],
    [
      "a topic that is not there",
      named("KafkaJSProtocolError", "no", { type: "UNKNOWN_TOPIC_OR_PARTITION" }),
      "unknown_topic",
    ],
    [
      "a name that cannot be a topic",
      named("KafkaJSProtocolError", "no", { type: "INVALID_TOPIC_EXCEPTION" }),
      "unknown_topic",
    ],
    ["not authorised", named("KafkaJSProtocolError", "no", { type: "TOPIC_AUTHORIZATION_FAILED" }), "refused"],
    ["a topic that was not created", named("KafkaJSCreateTopicError", "no"), "refused"],
    ["no connection", named("KafkaJSConnectionError", "no"), "unreachable"],
    ["whatever else", new Error("no"), "unreachable"],
    ["no error at all", "no", "unreachable"],
    ["nothing", undefined, "unreachable"],
  ] as const)("%s: %s", (_, error, code) => {
    expect(toKafkaError(error)).toMatchObject({ name: "KafkaError", code, cause: error });
  });

  test("the innermost cause decides, and every sentence is told once", () => {
    const inner = named("KafkaJSSASLAuthenticationError", "wrong password");
    const outer = named("KafkaJSNumberOfRetriesExceeded", "too many retries", {
      cause: named("KafkaJSError", "wrong password", { cause: inner }),
    });
    expect(toKafkaError(outer)).toMatchObject({ code: "authentication", message: "too many retries: wrong password" });
  });

  test("of several topics that were refused the first one counts", () => {
    const aggregate = named("KafkaJSAggregateError", "several", {
      errors: [named("KafkaJSCreateTopicError", "policy")],
    });
    expect(toKafkaError(aggregate)).toMatchObject({ code: "refused", message: "several: policy" });
  });

  test("causes that go round in a circle end", () => {
    const error: Error & { cause?: unknown } = new Error("round");
    error.cause = error;
    expect(toKafkaError(error)).toMatchObject({ code: "unreachable", message: "round" });
  });
});

describe("headers of a message", () => {
  const require = createRequire(import.meta.url);
  interface Encoder {
    readonly buffer: Buffer;
    writeVarIntArray(headers: readonly Encoder[]): Encoder;
  }
  const Encoder = require("kafkajs/src/protocol/encoder.js") as new () => Encoder;
  const Decoder = require("kafkajs/src/protocol/decoder.js") as new (bytes: Buffer) => {
    readVarIntArray(reader: unknown): { key: string }[];
  };
  const header = require("kafkajs/src/protocol/recordBatch/header/v0/index.js") as (header: object) => Encoder;
  const readHeader: unknown = require("kafkajs/src/protocol/recordBatch/header/v0/decoder.js");
  const decoded = (count: number) => {
    const headers = Array.from({ length: count }, (_, n) => header({ key: `h${n}`, value: Buffer.from("x") }));
    return new Decoder(new Encoder().writeVarIntArray(headers).buffer).readVarIntArray(readHeader);
  };

  test.each([0, 1, maxHeaders])("%i: all of them", (count) => {
    expect(decoded(count).map(({ key }) => key)).toEqual(Array.from({ length: count }, (_, n) => `h${n}`));
  });

  test("5,000, for which kafkajs would block the process: enough to see that they are too many", () => {
    expect(decoded(5000)).toHaveLength(maxHeaders + 1);
  });
});
