import { describe, expect, test } from "@jest/globals";
import { asciiJson, messagesOf } from "../../../../services/events/messages.ts";
import type { Change } from "../../../../services/events/topics.ts";
import { now } from "../../helpers.ts";

const image = "https://id.example.com/media/default-avatar.svg";
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const change = (changes: Partial<Change> = {}): Change => ({
  id: "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c",
  userId: 42,
  version: 1,
  type: "user.registered",
  data: { role: "CU", full_name: "Anna Kowalska", image_url: image },
  occurredAt: new Date(now),
  traceparent,
  ...changes,
});
const registered = (role: string, fullName = "Anna Kowalska") =>
  change({ data: { role, full_name: fullName, image_url: image } });
const valuesOf = (from: Change) =>
  Object.fromEntries(messagesOf(from).map(({ topic, value }) => [topic, JSON.parse(value) as unknown]));

describe("messagesOf: fields exactly as the contract's table", () => {
  const reviewed = { id: 42, full_name: "Anna Kowalska", image_url: image };
  const forEverybody = (role: string) => ({
    id: 42,
    type: "user.registered",
    version: 1,
    occurred_at: "2026-03-15T12:00:00.000Z",
    data: { role },
  });

  test.each([
    ["CU", { user_order: { id: 42 }, user_review: reviewed }],
    ["CO", { user_order: { id: 42 }, user_review: { id: 42 } }],
    ["RM", { user_restaurant: { id: 42 }, user_menu: { id: 42 }, user_order: { id: 42 } }],
    ["MO", { user_restaurant: { id: 42 }, user_order: { id: 42 } }],
  ])("%s registered", (role, values) => {
    expect(valuesOf(registered(role))).toEqual({ ...values, user_events: forEverybody(role) });
  });

  test("a customer's profile changed", () => {
    const updated = change({
      type: "user.profile_updated",
      version: 7,
      data: { role: "CU", full_name: "Anna Nowak", image_url: image, seen_by_others: true },
    });
    expect(valuesOf(updated)).toEqual({
      user_review: { id: 42, full_name: "Anna Nowak", image_url: image },
      user_events: {
        id: 42,
        type: "user.profile_updated",
        version: 7,
        occurred_at: "2026-03-15T12:00:00.000Z",
        data: { full_name: "Anna Nowak", image_url: image },
      },
    });
  });

  test("what the platform has no event for goes to user_events alone", () => {
    expect(Object.keys(valuesOf(change({ type: "user.deactivated", data: {} })))).toEqual(["user_events"]);
  });

  test("nothing else that lies in the outbox goes along", () => {
    const data = { ...registered("CU").data, email: "anna@example.com", phone: "+48512345678", password_hash: "v1:x" };
    expect(JSON.stringify(messagesOf(change({ data })))).not.toMatch(/example\.com"|\+48|v1:x/);
  });
});

describe("messagesOf: keys and headers", () => {
  test("for the platform the key is the event's name, in user_events the user's id", () => {
    expect(messagesOf(registered("CO")).map(({ topic, key }) => [topic, key])).toEqual([
      ["user_order", "CourierCreatedEvent"],
      ["user_review", "CourierCreatedEvent"],
      ["user_events", "42"],
    ]);
  });

  test("CloudEvents in binary mode: one change is one id on all its topics", () => {
    for (const { topic, headers } of messagesOf(registered("CU"))) {
      expect(headers).toEqual({
        ce_specversion: "1.0",
        ce_id: "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c",
        ce_source: "/user-management",
        ce_type: topic === "user_events" ? "user.registered" : "CustomerCreatedEvent",
        ce_time: "2026-03-15T12:00:00.000Z",
        ce_subject: "42",
        "content-type": "application/json",
        traceparent,
      });
    }
  });

  test("a change that no request made has no traceparent", () => {
    for (const { headers } of messagesOf(change({ traceparent: null })))
      expect(headers).not.toHaveProperty("traceparent");
  });

  test("made twice they are the same: a redelivery can be recognised", () => {
    expect(messagesOf(change())).toEqual(messagesOf(change()));
  });
});

describe("messagesOf: names", () => {
  const nameIn = (fullName: string) => {
    const review = messagesOf(registered("CU", fullName)).find(({ topic }) => topic === "user_review");
    return (JSON.parse(review?.value ?? "{}") as { full_name: string }).full_name;
  };

  test.each([
    ["254 letters stay", "a".repeat(254), "a".repeat(254)],
    ["255 are cut", "a".repeat(255), "a".repeat(254)],
    ["254 emoji stay, though they have 508 units", "😀".repeat(254), "😀".repeat(254)],
    ["255 emoji are cut between two of them", "😀".repeat(255), "😀".repeat(254)],
  ])("%s", (_, fullName, expected) => {
    expect(nameIn(fullName)).toBe(expected);
  });

  test.each(["é", "Ольга", "😀", "\u2028\u2029", "\ud83d", "\ude00", "\u0000\u001f\u007f", '"\\/', "\uffff", "<b>&'"])(
    "%j comes back from pure ASCII as it was",
    (fullName) => {
      for (const { value } of messagesOf(registered("CU", fullName))) expect(value).toMatch(/^[\x20-\x7f]*$/);
      expect(nameIn(fullName)).toBe(fullName);
    },
  );
});

describe("asciiJson", () => {
  test.each([
    ["é", '"\\u00e9"'],
    ["😀", '"\\ud83d\\ude00"'],
    ["\ud83d", '"\\ud83d"'],
    ["\u2028", '"\\u2028"'],
    ["\u0080", '"\\u0080"'],
    ["\uffff", '"\\uffff"'],
    ["plain", '"plain"'],
  ])("%j is %s", (value, json) => {
    expect(asciiJson(value)).toBe(json);
  });

  test("keys as well", () => {
    expect(asciiJson({ é: 1 })).toBe('{"\\u00e9":1}');
  });
});
