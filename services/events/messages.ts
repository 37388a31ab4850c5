import type { KafkaMessage } from "./kafka.ts";
import { changesTopic, fieldsOfChange, platformEvent, type Change } from "./topics.ts";

const source = "/user-management";
/** `review` stores 255 characters. */
const maxFullName = 254;

/** The messages about one change; the partition is chosen when the number of partitions is known. */
export function messagesOf(change: Change): Omit<KafkaMessage, "partition">[] {
  const event = platformEvent(change);
  const values: Readonly<Record<string, unknown>> = {
    id: change.userId,
    full_name: Array.from(String(change.data["full_name"])).slice(0, maxFullName).join(""),
    image_url: change.data["image_url"],
  };
  const toPlatform = Object.entries(event?.to ?? {}).map(([topic, fields]) => ({
    topic,
    // The consumers look the handler up by the key, so it cannot name the user: the partition does.
    key: event?.event ?? "",
    value: asciiJson(Object.fromEntries(fields.map((field) => [field, values[field]]))),
    headers: headers(change, event?.event ?? ""),
  }));
  const toEverybody = {
    topic: changesTopic,
    key: String(change.userId),
    value: asciiJson({
      id: change.userId,
      type: change.type,
      version: change.version,
      occurred_at: change.occurredAt.toISOString(),
      data: fieldsOfChange(change),
    }),
    headers: headers(change, change.type),
  };
  return [...toPlatform, toEverybody];
}

/** CloudEvents 1.0, Kafka binding in binary mode. */
function headers(change: Change, type: string): Record<string, string> {
  return {
    ce_specversion: "1.0",
    ce_id: change.id,
    ce_source: source,
    ce_type: type,
    ce_time: change.occurredAt.toISOString(),
    ce_subject: String(change.userId),
    "content-type": "application/json",
    ...(change.traceparent !== null && { traceparent: change.traceparent }),
  };
}

/** The Python consumers decode ASCII: one raw `é` would end their thread. */
export const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
