import { describe, expect, test } from "@jest/globals";
import { contract, type Params, type Result, type Sent } from "../../../lib/contract.ts";
import type { Same } from "../helpers.ts";

const shop = contract("shop", {
  order: {
    summary: "Orders something.",
    visibility: "published",
    auth: { roles: ["CU"], verified: true },
    params: {
      dish: { type: "string", max: 100 },
      size: { type: "enum", values: ["small", "large"] },
      count: { type: "number", integer: true, default: 1 },
      note: { type: "string", optional: true },
      table: { type: "number", nullable: true },
      address: { type: "object", strict: true, props: { street: { type: "string" } } },
      extras: { type: "array", items: { type: "string" } },
    },
    returns: { type: "object", strict: true, nullable: true, props: { id: { type: "number" } } },
    errors: ["not_found"],
  },
  health: {
    summary: "Whether it is open.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: { type: "boolean" },
  },
});

describe("contract", () => {
  test("names every action as the broker knows it", () => {
    expect([shop.order.name, shop.health.name]).toEqual(["shop.order", "shop.health"]);
  });

  test("keeps the definition as it was written", () => {
    expect(shop.health).toEqual({
      name: "shop.health",
      summary: "Whether it is open.",
      visibility: "public",
      auth: "internal",
      params: {},
      returns: { type: "boolean" },
    });
    expect([shop.order.auth, shop.order.errors]).toEqual([{ roles: ["CU"], verified: true }, ["not_found"]]);
  });

  test("a caller may leave out what has a default, the handler gets it (checked by the compiler)", () => {
    interface Given {
      dish: string;
      size: "small" | "large";
      count: number;
      note?: string;
      table: number | null;
      address: { street: string };
      extras: string[];
    }
    type Mutable<T> = { -readonly [K in keyof T]: T[K] };
    const sameParams: Same<Mutable<Params<typeof shop.order>>, Given> = true;
    const sameCount: Same<Mutable<Sent<typeof shop.order>>["count"], number | undefined> = true;
    const sent: Sent<typeof shop.order> = {
      dish: "soup",
      size: "small",
      table: null,
      address: { street: "Main" },
      extras: [],
    };
    // @ts-expect-error no such size
    const wrong: Sent<typeof shop.order> = { ...sent, size: "huge" };
    // @ts-expect-error null only where a rule says so
    const nothing: Sent<typeof shop.order> = { ...sent, note: null };
    expect([sameParams, sameCount, wrong.dish, nothing.dish]).toEqual([true, true, "soup", "soup"]);
  });

  test("the result is what `returns` says (checked by the compiler)", () => {
    const sameResult: Same<Result<typeof shop.health>, boolean> = true;
    const none: Result<typeof shop.order> = null;
    // @ts-expect-error an id is a number
    const wrong: Result<typeof shop.order> = { id: "7" };
    expect([sameResult, none, wrong]).toEqual([true, null, { id: "7" }]);
  });
});
