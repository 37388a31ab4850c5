import type { EventAction } from "../../lib/event-action.ts";
import { allTopics } from "./topics.ts";

/** Which event of which topic becomes a call of which action. */
export interface Listener {
  readonly topic: string;
  /** The header `ce_type`, or the key of a message without it. */
  readonly event: string;
  readonly action: EventAction;
}

/**
 * What other services tell us. Nothing yet: the platform sends us no events. How to add a line: docs/reliability.md,
 * "Listening to other services".
 */
export const listeners: readonly Listener[] = [];

/** Where messages go that cannot be handled. Like every topic it is created by an operator and never silently. */
export const deadLetterTopic = (topic: string): string => `${topic}.dead-letter`;

export const deadLetterTopics = (of: readonly Listener[]): string[] => [
  ...new Set(of.map(({ topic }) => deadLetterTopic(topic))),
];

/** What an operator creates before the service can do its work; the topics that we listen to belong to others. */
export const topicsToCreate: readonly string[] = [...allTopics, ...deadLetterTopics(listeners)];

/** @throws Error when one event would go to two actions */
export function listenersByTopic(of: readonly Listener[]): Map<string, Map<string, Listener>> {
  const topics = new Map<string, Map<string, Listener>>();
  for (const listener of of) {
    const { topic, event } = listener;
    const events = topics.get(topic) ?? new Map<string, Listener>();
    if (events.has(event)) throw new Error(`two listeners for ${event} of ${topic}`);
    topics.set(topic, events.set(event, listener));
  }
  return topics;
}
