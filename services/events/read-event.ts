import { dangerIn, isStorable } from "../../lib/safe-json.ts";
import { isTraceparent } from "../../lib/trace.ts";
import { maxHeaders } from "./kafkajs-client.ts";
import type { ReceivedMessage } from "./received-message.ts";

/** What a message says, before anybody knows what it means. */
export interface ReceivedEvent {
  /** The same at every redelivery: CloudEvents makes source and id unique together. */
  readonly id: string;
  /** Parsed JSON; null for a message without a value (a tombstone). */
  readonly data: unknown;
  readonly traceparent: string | undefined;
}
export type Reading = { readonly event: ReceivedEvent } | { readonly poison: string };

/** Kafka takes 1 MB by default. Half of it leaves room for the dead letter's own headers. */
export const maxMessageBytes = 512 * 1024;

const utf8 = new TextDecoder("utf-8", { fatal: true });
const identifier = /^[\x21-\x7e]{1,200}$/;

export const nameOf = ({ headers, key }: ReceivedMessage): string => headers["ce_type"] ?? key ?? "";

/** @returns the event, or in a few words what is wrong with the message */
export function readEvent(message: ReceivedMessage): Reading {
  const excess = excessOf(message);
  if (excess !== undefined) return { poison: excess };
  const { headers, raw } = message;
  const [source, id] = [headers["ce_source"], headers["ce_id"]];
  if (id !== undefined && !identifier.test(id)) return { poison: "ce_id is no identifier" };
  if (source !== undefined && !identifier.test(source)) return { poison: "ce_source is no identifier" };
  const json = raw.value === null ? { data: null } : parse(raw.value);
  if ("poison" in json) return json;
  const traceparent = isTraceparent(headers["traceparent"]) ? headers["traceparent"] : undefined;
  return { event: { id: eventId(message, source, id), data: json.data, traceparent } };
}

function eventId({ topic, partition, offset }: ReceivedMessage, source: string | undefined, id: string | undefined) {
  if (id === undefined) return `${topic}/${partition}/${offset}`;
  return source === undefined ? id : `${source} ${id}`;
}

function parse(bytes: Buffer): { data: unknown } | { poison: string } {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return { poison: "no UTF-8" };
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return { poison: "no JSON" };
  }
  const danger = dangerIn(data);
  if (danger) return { poison: danger === "forbidden_key" ? "a forbidden key" : "nested too deep" };
  return isStorable(data) ? { data } : { poison: "a text with a lone surrogate or a zero byte" };
}

/** What makes a message too much to look at and to pass on, if it is. */
export function excessOf({ raw: { key, value, headers } }: ReceivedMessage): string | undefined {
  const inHeaders = Object.entries(headers).flatMap(([name, values]) =>
    values.map(({ length }) => length + name.length),
  );
  if (inHeaders.length > maxHeaders) return "too many headers";
  const size = inHeaders.reduce((sum, each) => sum + each, (key?.length ?? 0) + (value?.length ?? 0));
  return size > maxMessageBytes ? "too large" : undefined;
}
