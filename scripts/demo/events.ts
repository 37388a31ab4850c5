import { randomUUID } from "node:crypto";
import type { Config } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { openDatabase } from "../../mixins/database/database.ts";
import { connectKafka, type ReceivedMessage } from "../../services/events/kafka.ts";
import { allTopics } from "../../services/events/topics.ts";
import { check, heading, tell, wait } from "./report.ts";
import type { Character } from "./story.ts";

export interface Events {
  /** Shows what the rest of the platform hears about an account. @throws Difference */
  show(character: Character, userId: number): Promise<void>;
  close(): Promise<void>;
}

const arriveWithinMs = 6000;

/** Written down here once more and on purpose: the demo compares with the contract, not with the service's own table. */
const onKafka: Readonly<Record<string, readonly string[]>> = {
  CU: ["user_order CustomerCreatedEvent {id}", "user_review CustomerCreatedEvent {id, full_name, image_url}"],
  CO: ["user_order CourierCreatedEvent {id}", "user_review CourierCreatedEvent {id}"],
  RM: [
    "user_menu RestaurantManagerCreatedEvent {id}",
    "user_order RestaurantManagerCreatedEvent {id}",
    "user_restaurant RestaurantManagerCreatedEvent {id}",
  ],
};
const changes = ["user.registered", "user.email_verified"];

export const openEvents = (config: Config): Events => (config.kafka ? fromKafka(config.kafka) : fromOutbox(config));

/** Reads everything that lies there, in a group of its own: nobody's place in a topic is moved. */
function fromKafka(settings: NonNullable<Config["kafka"]>): Events {
  const kafka = connectKafka(settings, silentLog);
  const received: ReceivedMessage[] = [];
  const onMessage = (message: ReceivedMessage): Promise<void> => {
    received.push(message);
    return Promise.resolve();
  };
  void kafka.subscribe({ group: `demo-${randomUUID()}`, topics: allTopics, onMessage });

  const heardOf = (userId: number): Heard[] => {
    const own = received.filter(({ headers }) => headers["ce_subject"] === String(userId));
    // At least once is the promise: a repeated message has the same id on the same topic.
    const once = Map.groupBy(own, ({ topic, headers }) => `${topic} ${headers["ce_id"] ?? ""}`);
    return [...once.values()].flatMap((same) => same.slice(0, 1).map(heard)).sort((a, b) => (a.text < b.text ? -1 : 1));
  };
  // Who has waited once in vain does not wait again.
  let patienceMs = arriveWithinMs;
  return {
    show: async ({ path, role }, userId) => {
      heading(`what Kafka heard about the new account of ${path}`);
      const expected = [...(onKafka[role] ?? []), ...changes.map((type) => `user_events ${userId} ${type}`)].sort();
      const complete = await wait(() => (heardOf(userId).length >= expected.length ? true : undefined), patienceMs);
      if (!complete) patienceMs = 0;
      const messages = heardOf(userId);
      check("number of messages", messages.length, expected.length);
      expected.forEach((message, index) => check("topic, key, value", messages[index]?.text, message));
      for (const { topic, value } of messages) if (topic === "user_review") tell("  ASCII, for Python", value);
    },
    close: () => kafka.close(),
  };
}

interface Heard {
  readonly topic: string;
  readonly value: string;
  /** `user_review CustomerCreatedEvent {id, full_name, image_url}` */
  readonly text: string;
}

function heard({ topic, key, value }: ReceivedMessage): Heard {
  const fields = JSON.parse(value ?? "{}") as Record<string, unknown>;
  const content = topic === "user_events" ? String(fields["type"]) : `{${Object.keys(fields).join(", ")}}`;
  return { topic, value: value ?? "", text: `${topic} ${key ?? ""} ${content}` };
}

/** Without Kafka nothing is lost: the rows wait where the registration's transaction has put them. */
function fromOutbox({ database }: Config): Events {
  if (!database) throw new Error("the demo needs the database that the service uses");
  const db = openDatabase(database, silentLog, { name: "demo", connections: 1 });
  return {
    show: async ({ path }, userId) => {
      heading(`events about the new account of ${path} (no Kafka is configured)`);
      const rows = await db.query<{ type: string; published: boolean }>(
        "select type, published_at is not null as published from outbox where user_id = $1 order by version",
        [userId],
      );
      const waiting = ({ type, published }: (typeof rows)[number]) =>
        `${type} ${published ? "was published" : "is waiting in the outbox"}`;
      const seen = rows.length > 0 ? rows.map(waiting) : "nothing: the service has another database than we do";
      const expected = changes.map((type) => waiting({ type, published: false }));
      check("outbox", seen, expected);
    },
    close: () => db.close(),
  };
}
