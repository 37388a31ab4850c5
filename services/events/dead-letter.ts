import type { RawKafkaMessage } from "./kafka.ts";
import { deadLetterTopic } from "./listeners.ts";
import { excessOf } from "./read-event.ts";
import type { ReceivedMessage } from "./received-message.ts";

const maxReason = 300;

/**
 * A message that cannot be handled, as it came, with the reason in headers. One that is too large leaves its content
 * behind, since Kafka might not take it with more headers: topic, partition and offset say where it lies.
 */
export function deadLetter(
  message: ReceivedMessage,
  reason: string,
  attempts: number,
): Omit<RawKafkaMessage, "partition"> {
  const { topic, partition, offset, raw } = message;
  const nothing = { key: null, value: null, headers: { "x-content": "omitted" } };
  const { key, value, headers } = excessOf(message) === undefined ? raw : nothing;
  return {
    topic: deadLetterTopic(topic),
    key,
    value,
    headers: {
      ...headers,
      "x-reason": reason.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, maxReason),
      "x-attempts": String(attempts),
      "x-original-topic": topic,
      "x-original-partition": String(partition),
      "x-original-offset": offset,
    },
  };
}
