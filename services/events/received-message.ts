import type { KafkajsMessage } from "./kafkajs-client.ts";

export interface ReceivedMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: string | null;
  readonly value: string | null;
  /** Of a name that came several times, the first. */
  readonly headers: Readonly<Record<string, string>>;
  readonly raw: RawContent;
}

/** The bytes, for whoever looks closely or passes them on. */
export interface RawContent {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, readonly Buffer[]>>;
}

export function receivedMessage(topic: string, partition: number, message: KafkajsMessage): ReceivedMessage {
  const { offset, key, value } = message;
  const headers = bytesOf(message.headers ?? {});
  return {
    topic,
    partition,
    offset,
    key: key?.toString("utf8") ?? null,
    value: value?.toString("utf8") ?? null,
    headers: Object.fromEntries(headers.map(([name, [first]]) => [name, first?.toString("utf8") ?? ""])),
    raw: { key, value, headers: Object.fromEntries(headers) },
  };
}

/**
 * kafkajs looks at `headers[name]` of a plain object while it collects them: a header named `constructor` or `__proto__`
 * comes with what the object inherits beside its bytes, and one without a value as null.
 */
function bytesOf(headers: Readonly<Record<string, unknown>>): [string, Buffer[]][] {
  return Object.entries(headers).flatMap(([name, value]) => {
    const bytes = [value].flat().filter((one) => Buffer.isBuffer(one));
    return bytes.length === 0 ? [] : [[name, bytes]];
  });
}
