import { ruleToJsonSchema, type JsonSchema, type Rule } from "../../lib/schema.ts";
import { eventContracts } from "./event-contracts.ts";
import { deadLetterTopic, listenersByTopic, type Listener } from "./listeners.ts";

/** One kind of message on one channel, whoever sends it. */
interface Message {
  readonly event: string;
  readonly summary: string;
  readonly key: JsonSchema;
  readonly headers: JsonSchema;
  readonly payload: JsonSchema;
}
interface Channel {
  readonly topic: string;
  readonly action: "send" | "receive";
  readonly description: string;
  readonly messages: readonly Message[];
}

const ref = (...path: readonly string[]): JsonSchema => ({ $ref: `#/${path.join("/")}` });

/** https://github.com/asyncapi/bindings/tree/master/kafka */
const kafkaBinding = "0.5.0";
const when: Readonly<Record<string, string>> = {
  CustomerCreatedEvent: "A customer registered, or somebody became one for the first time.",
  CustomerUpdatedEvent: "A customer's name or picture changed.",
  CourierCreatedEvent: "A courier registered, or somebody became one for the first time.",
  RestaurantManagerCreatedEvent: "A restaurant manager registered, or somebody became one for the first time.",
  ModeratorCreatedEvent: "A moderator was created, or somebody became one for the first time.",
};

/** AsyncAPI 3 of every topic, as JSON. `npm run asyncapi` writes it to docs/asyncapi.json. */
export function asyncApiDocument(listeners: readonly Listener[]): JsonSchema {
  const channels = [...sent(), ...received(listeners)];
  const messages = channels.flatMap(({ topic, messages }) =>
    messages.map((message) => [messageId(topic, message), messageObject(message)] as const),
  );
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Identity service: events",
      version: "1.0.0",
      description:
        "At least once, in order per user on first appearance. A redelivery has the same `ce_id`: consumers de-duplicate by it. " +
        "All messages of one user lie in one partition of a topic: user id mod number of partitions.",
    },
    defaultContentType: "application/json",
    servers: { kafka: server },
    channels: Object.fromEntries(channels.map((channel) => [channel.topic, channelObject(channel)])),
    operations: Object.fromEntries(
      channels.map(({ topic, action }) => [`${action}_${topic}`, { action, channel: ref("channels", topic) }]),
    ),
    components: { messages: Object.fromEntries(messages), securitySchemes },
  };
}

function sent(): Channel[] {
  return [...Map.groupBy(eventContracts, ({ topic }) => topic)].map(([topic, contracts]) => ({
    topic,
    action: "send",
    description: topic === "user_events" ? "Every change of an account." : "What one of the platform's services needs.",
    messages: contracts.map(({ event, key, payload }) => ({
      event,
      summary: when[event] ?? `The change ${event} of an account.`,
      key: ruleToJsonSchema(key),
      headers: headersOfOurs(event),
      payload: ruleToJsonSchema(payload),
    })),
  }));
}

function received(listeners: readonly Listener[]): Channel[] {
  return [...listenersByTopic(listeners)].map(([topic, events]) => ({
    topic,
    action: "receive",
    description: `What cannot be handled goes to ${deadLetterTopic(topic)}.`,
    messages: [...events.values()].map(({ event, action }) => ({
      event,
      summary: action.summary,
      key: { type: "string", description: "The event's name, unless the header ce_type names it." },
      headers: headersOfOthers,
      payload: ruleToJsonSchema(action.params.data),
    })),
  }));
}

const header = (rule: Rule): JsonSchema => ruleToJsonSchema(rule);
const traceparent = header({ type: "string", description: "W3C Trace Context." });

/** CloudEvents 1.0, Kafka binding in binary mode. */
const headersOfOurs = (event: string): JsonSchema => ({
  type: "object",
  properties: {
    ce_specversion: { const: "1.0" },
    ce_id: header({ type: "string", format: "uuid", description: "Of the change: the same on all its topics." }),
    ce_source: { const: "/user-management" },
    ce_type: { const: event },
    ce_time: header({ type: "string", format: "date-time" }),
    ce_subject: header({ type: "string", description: "The user's id." }),
    "content-type": { const: "application/json" },
    traceparent,
  },
  required: ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type"],
});

const headersOfOthers: JsonSchema = {
  type: "object",
  properties: {
    ce_id: header({
      type: "string",
      description: "Unique within ce_source; without it topic, partition and offset are.",
    }),
    ce_source: header({ type: "string" }),
    ce_type: header({ type: "string" }),
    traceparent,
  },
};

const securitySchemes = {
  plain: { type: "plain", description: "SASL PLAIN." },
  scramSha256: { type: "scramSha256" },
  scramSha512: { type: "scramSha512" },
  certificate: { type: "X509", description: "A client certificate instead of a password." },
};
const server = {
  host: "{host}:{port}",
  protocol: "kafka",
  description: "KAFKA_BOOTSTRAP_SERVER_HOST and _PORT; with TLS when KAFKA_SSL is True.",
  variables: { host: {}, port: { default: "9092" } },
  security: Object.keys(securitySchemes).map((name) => ref("components", "securitySchemes", name)),
};

function channelObject({ topic, description, messages }: Channel): JsonSchema {
  const references = messages.map((message) => [
    message.event,
    ref("components", "messages", messageId(topic, message)),
  ]);
  return {
    address: topic,
    description,
    messages: Object.fromEntries(references) as JsonSchema,
    bindings: { kafka: { topic, bindingVersion: kafkaBinding } },
  };
}

const messageObject = ({ event, summary, key, headers, payload }: Message): JsonSchema => ({
  name: event,
  summary,
  headers,
  payload,
  bindings: { kafka: { key, bindingVersion: kafkaBinding } },
});

const messageId = (topic: string, { event }: Message): string => `${topic}.${event}`;
