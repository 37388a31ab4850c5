import { checkPayload } from "./event-contracts.ts";
import type { KafkaMessage } from "./kafka.ts";
import { changesTopic, fieldsOfChange, platformEvent, type Change } from "./topics.ts";

const source = "/user-management";
/** `review` stores 255 characters. */
const maxFullName = 254;

/**
 * The messages about one change; the partition is chosen when the number of partitions is known.
 * @throws Error when one of them would not be what its contract says
 */
export function messagesOf(change: Change): Omit<KafkaMessage, "partition">[] {
  const event = platformEvent(change);
  const fullName = change.data["full_name"];
  const values: Readonly<Record<string, unknown>> = {
    id: change.userId,
    full_name: typeof fullName === "string" ? Array.from(fullName).slice(0, maxFullName).join("") : fullName,
    image_url: change.data["image_url"],
  };
  const toPlatform = Object.entries(event?.to ?? {}).map(([topic, fields]) => {
    const payload = Object.fromEntries(fields.map((field) => [field, values[field]]));
    // The consumers look the handler up by the key, so it cannot name the user: the partition does.
    return message(topic, event?.event ?? "", event?.event ?? "", payload, change);
  });
  const toEverybody = message(
    changesTopic,
    String(change.userId),
    change.type,
    {
      id: change.userId,
      type: change.type,
      version: change.version,
      occurred_at: change.occurredAt.toISOString(),
      data: fieldsOfChange(change),
    },
    change,
  );
  return [...toPlatform, toEverybody];
}

function message(topic: string, key: string, event: string, payload: object, change: Change) {
  checkPayload(topic, event, payload);
  return { topic, key, value: asciiJson(payload), headers: headers(change, event) };
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
