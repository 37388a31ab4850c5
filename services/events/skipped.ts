import type { Log } from "../../lib/log.ts";

/** A stranger chooses the names: after so many, one line says that there are more. */
const maxNames = 100;
const maxLength = 100;

/** One line for each event that nobody listens to, and not for each message. */
export function createSkipped(log: Log) {
  const told = new Set<string>();
  return {
    tell(topic: string, name: string): void {
      const event = name.slice(0, maxLength);
      const key = `${topic} ${event}`;
      if (told.has(key) || told.size > maxNames) return;
      told.add(key);
      if (told.size > maxNames) log.warn({ topic }, "more kinds of Kafka messages that nobody listens to");
      else log.info({ topic, event }, "a kind of Kafka message that nobody listens to");
    },
  };
}
