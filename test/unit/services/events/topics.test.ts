import { describe, expect, test } from "@jest/globals";
import { allTopics, fieldsOfChange, platformEvent, type Change } from "../../../../services/events/topics.ts";
import { now, thrown } from "../../helpers.ts";

const change = (type: string, data: Record<string, unknown>): Change => ({
  id: "c1",
  userId: 42,
  version: 1,
  type,
  data,
  occurredAt: new Date(now),
  traceparent: null,
});
const full = ["id", "full_name", "image_url"];

describe("platformEvent: the contract's table (CONTRACT.md, section 3)", () => {
  test.each([
    ["CU", "CustomerCreatedEvent", { user_order: ["id"], user_review: full }],
    ["CO", "CourierCreatedEvent", { user_order: ["id"], user_review: ["id"] }],
    ["RM", "RestaurantManagerCreatedEvent", { user_restaurant: ["id"], user_menu: ["id"], user_order: ["id"] }],
    ["MO", "ModeratorCreatedEvent", { user_restaurant: ["id"], user_order: ["id"] }],
  ])("%s registered, or became one for the first time: %s", (role, event, to) => {
    expect(platformEvent(change("user.registered", { role }))).toEqual({ event, to });
    const became = change("user.role_changed", { from: "XX", to: role, first_time: true });
    expect(platformEvent(became)).toEqual({ event, to });
  });

  test("a customer's name or picture changed: CustomerUpdatedEvent", () => {
    const updated = change("user.profile_updated", { role: "CU", seen_by_others: true });
    expect(platformEvent(updated)).toEqual({ event: "CustomerUpdatedEvent", to: { user_review: full } });
  });

  test.each([
    ["something private of a customer changed", "user.profile_updated", { role: "CU", seen_by_others: false }],
    ["a courier's name changed", "user.profile_updated", { role: "CO", seen_by_others: true }],
    ["a manager's name changed", "user.profile_updated", { role: "RM", seen_by_others: true }],
    ["a moderator's name changed", "user.profile_updated", { role: "MO", seen_by_others: true }],
    ["a role that the account had before", "user.role_changed", { from: "CO", to: "CU", first_time: false }],
    ["a role change that does not say", "user.role_changed", { from: "CO", to: "CU" }],
    ["an address verified", "user.email_verified", { role: "CU" }],
    ["an account deactivated", "user.deactivated", { role: "CU" }],
    ["a password changed", "user.password_changed", { role: "CU" }],
  ])("%s: the platform has no event for it", (_, type, data) => {
    expect(platformEvent(change(type, data))).toBeUndefined();
  });
});

test("platformEvent: a role that does not exist is not published with a guess", () => {
  expect(() => platformEvent(change("user.registered", { role: "XX" }))).toThrow("no such role");
});

describe("fieldsOfChange: what user_events tells", () => {
  const everything = {
    role: "CU",
    from: "CU",
    to: "CO",
    first_time: true,
    full_name: "Anna Kowalska",
    image_url: "https://id.example.com/media/x.webp",
    seen_by_others: true,
    email: "anna@example.com",
    phone: "+48512345678",
    password_hash: "v1:x:y",
  };

  test.each([
    ["user.registered", ["role"]],
    ["user.email_verified", []],
    ["user.email_changed", []],
    ["user.profile_updated", ["full_name", "image_url"]],
    ["user.role_changed", ["from", "to"]],
    ["user.deactivated", []],
    ["user.reactivated", []],
    ["user.password_changed", []],
    ["user.deleted", []],
  ])("%s: %j and nothing else, whatever lies in the outbox", (type, fields) => {
    expect(Object.keys(fieldsOfChange(change(type, everything)))).toEqual(fields);
  });

  test("a type that the table does not know is not published with a guess", () => {
    expect(String(thrown(() => fieldsOfChange(change("user.renamed", {}))))).toContain("no such type of change");
  });
});

describe("allTopics", () => {
  test("are the platform's topics and ours, each once", () => {
    expect([...allTopics].sort()).toEqual(["user_events", "user_menu", "user_order", "user_restaurant", "user_review"]);
  });
});
