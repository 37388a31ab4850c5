import { checker } from "../../lib/checker.ts";
import type { Rule } from "../../lib/schema.ts";
import { changeShapes, changesTopic, fieldRules, platformEvents, userIdRule } from "./topics.ts";

/** One kind of message on one topic: what docs/asyncapi.json tells, and what every message is checked against. */
export interface EventContract {
  readonly topic: string;
  /** `ce_type`. */
  readonly event: string;
  readonly key: Rule;
  readonly payload: Rule;
}

const toPlatform = platformEvents.flatMap(({ event, to }) =>
  Object.entries(to).map(([topic, fields]): EventContract => {
    const props = Object.fromEntries(fields.map((field) => [field, fieldRules[field]]));
    return { topic, event, key: { type: "enum", values: [event] }, payload: { type: "object", strict: true, props } };
  }),
);

const toEverybody = Object.entries(changeShapes).map(([event, data]): EventContract => {
  const props = {
    id: userIdRule,
    type: { type: "enum", values: [event] },
    version: { type: "number", integer: true, min: 1, description: "Counts a user's changes, without gaps." },
    occurred_at: { type: "string", format: "date-time" },
    data: { type: "object", strict: true, props: data },
  } as const;
  const key = { type: "string", pattern: "^[1-9][0-9]*$", description: "The user's id." } as const;
  return { topic: changesTopic, event, key, payload: { type: "object", strict: true, props } };
});

export const eventContracts: readonly EventContract[] = [...toPlatform, ...toEverybody];

const checkers = new Map(eventContracts.map(({ topic, event, payload }) => [`${topic} ${event}`, checker(payload)]));

/** @throws Error that names the field, and not its value */
export function checkPayload(topic: string, event: string, payload: object): void {
  const check = checkers.get(`${topic} ${event}`);
  const problem = check ? check(payload) : "no such event";
  if (problem !== undefined) throw new Error(`${event} does not fit the contract of ${topic}: ${problem}`);
}
