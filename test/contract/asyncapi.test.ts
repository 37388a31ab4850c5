import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { asyncApiDocument } from "../../services/events/asyncapi.ts";
import { listeners } from "../../services/events/listeners.ts";
import { messagesOf } from "../../services/events/messages.ts";
import { allTopics, changeShapes, type Change } from "../../services/events/topics.ts";
import { ledgerContract } from "../support/listening-node.ts";

interface Document {
  readonly channels: Record<string, { address: string; messages: Record<string, { $ref: string }> }>;
  readonly operations: Record<string, { action: string; channel: { $ref: string } }>;
  readonly components: { readonly messages: Record<string, Message> };
}
interface Message {
  readonly headers: object;
  readonly payload: object;
  readonly bindings: { readonly kafka: { readonly key: object } };
}
interface AjvLike {
  compile(schema: object): ((value: unknown) => boolean) & { errors?: unknown };
}
// As in openapi.test.ts: JSON Schema 2020-12 and the formats, which the tree's other Ajv does not know.
const require = createRequire(createRequire(import.meta.url).resolve("@seriousme/openapi-schema-validator"));
const { Ajv2020 } = require("ajv/dist/2020.js") as { Ajv2020: new (options: object) => AjvLike };
const { default: addFormats } = require("ajv-formats") as { default: (ajv: AjvLike) => void };
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: true });
addFormats(ajv);

const text = readFileSync(join(import.meta.dirname, "../../docs/asyncapi.json"), "utf8");
const document = JSON.parse(text) as Document;

const about = { full_name: "Zoë Łącka 😀", image_url: "https://id.example.com/media/default-avatar.svg" };
const data: Record<string, object> = {
  "user.registered": { role: "CU", ...about },
  "user.profile_updated": { role: "CU", seen_by_others: true, ...about },
  "user.role_changed": { from: "CU", to: "CO", first_time: true, ...about },
};
const change = (type: string, changes: object = {}): Change => ({
  id: "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c",
  userId: 42,
  version: 3,
  type,
  data: { ...data[type], ...changes },
  occurredAt: new Date("2026-03-15T12:00:00Z"),
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
});
/** One change of every kind, and a registration for every role. */
const changes: readonly Change[] = [
  ...Object.keys(changeShapes).map((type) => change(type)),
  ...["CO", "RM", "MO"].map((role) => change("user.registered", { role })),
];
const problems = (schema: object, value: unknown) => {
  const validate = ajv.compile(schema);
  return validate(value) ? null : validate.errors;
};

describe("docs/asyncapi.json", () => {
  test("is what the event contracts say (npm run asyncapi writes it)", () => {
    expect(document).toEqual(JSON.parse(JSON.stringify(asyncApiDocument(listeners))));
  });

  test("tells every topic, sent by us, and every reference leads somewhere", () => {
    expect(Object.keys(document.channels).toSorted()).toEqual(allTopics.toSorted());
    for (const { action } of Object.values(document.operations)) expect(action).toBe("send");
    const references = [...text.matchAll(/"\$ref": "#\/([^"]+)"/g)].map(([, path = ""]) => path.split("/"));
    expect(references.length).toBeGreaterThan(20);
    for (const path of references) {
      const found = path.reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], document);
      expect([path, typeof found]).toEqual([path, "object"]);
    }
  });

  test("every message that is published is told, and fits: key, headers and value", () => {
    const told = new Set(Object.keys(document.components.messages));
    for (const { topic, key, value, headers } of changes.flatMap((each) => messagesOf(each))) {
      const id = `${topic}.${headers["ce_type"] ?? ""}`;
      const { payload, headers: headerSchema, bindings } = document.components.messages[id]!;
      const found = [
        problems(payload, JSON.parse(value)),
        problems(headerSchema, headers),
        problems(bindings.kafka.key, key),
      ];
      expect([id, ...found]).toEqual([id, null, null, null]);
      told.delete(id);
    }
    expect([...told]).toEqual([]);
  });

  test.each([
    [
      "a name that is too long for those who store it",
      "user_review.CustomerUpdatedEvent",
      { id: 1, ...about, full_name: "x".repeat(600) },
    ],
    ["no picture", "user_review.CustomerUpdatedEvent", { id: 1, ...about, image_url: null }],
    ["more than the table says", "user_order.CustomerCreatedEvent", { id: 1, email: "anna@example.com" }],
    ["no id", "user_order.CustomerCreatedEvent", {}],
  ])("%s does not fit", (_, id, value) => {
    expect(problems(document.components.messages[id]!.payload, value)).not.toBeNull();
  });
});

describe("asyncApiDocument: with a listener", () => {
  test("its topic is received, with the action's contract as the payload", () => {
    const listener = { topic: "orders", event: "OrderPlaced", action: ledgerContract.note };
    const told = asyncApiDocument([listener]) as unknown as Document;
    expect(told.operations["receive_orders"]).toEqual({ action: "receive", channel: { $ref: "#/channels/orders" } });
    const { payload } = told.components.messages["orders.OrderPlaced"]!;
    expect(problems(payload, { order: 1, whatever: "else" })).toBeNull();
    expect(problems(payload, { order: "one" })).not.toBeNull();
  });
});

describe("messagesOf: what does not fit the contract is not published", () => {
  test.each<[string, Change, string]>([
    ["no name", change("user.registered", { full_name: undefined }), "user_review: full_name: required"],
    ["a relative picture", change("user.registered", { image_url: "/media/a.jpg" }), "image_url: stringPattern"],
    [
      "a picture longer than `review` stores",
      change("user.profile_updated", { image_url: `https://${"x".repeat(200)}` }),
      "image_url: stringMax",
    ],
    ["a role that does not exist", change("user.role_changed", { from: "XX" }), "data.from: enumValue"],
    ["a user whose id is none", { ...change("user.deleted"), userId: 0 }, "id: numberMin"],
    ["a version that is none", { ...change("user.deleted"), version: 1.5 }, "version: numberInteger"],
  ])("%s: says which field, and not its value", (_, wrong, problem) => {
    expect(() => messagesOf(wrong)).toThrow(problem);
  });
});
