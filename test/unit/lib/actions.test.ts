import { describe, expect, jest, test } from "@jest/globals";
import { Readable } from "node:stream";
import type { Context, ServiceBroker } from "moleculer";
import { call, implement } from "../../../lib/actions.ts";
import { contract } from "../../../lib/contract.ts";
import type { Actor } from "../../../lib/principal.ts";
import { actor } from "../helpers.ts";

const greetings = contract("greetings", {
  greet: {
    summary: "Greets.",
    visibility: "published",
    auth: "required",
    unknown: "ignore",
    params: { name: { type: "string" } },
    returns: { type: "string" },
  },
  ping: { summary: "Answers.", visibility: "public", auth: "internal", params: {}, returns: { type: "boolean" } },
});
const actions = implement(greetings, {
  greet: ({ name }, by) => Promise.resolve(`Hello ${name}, says ${by.requestId}`),
  ping: () => Promise.resolve(true),
});

describe("implement", () => {
  test("hands the contract's words to the broker", () => {
    expect(actions["greet"]).toMatchObject({
      visibility: "published",
      auth: "required",
      params: { $$strict: "remove", name: { type: "string" } },
    });
    expect(actions["ping"]).toMatchObject({ visibility: "public", auth: "internal", params: { $$strict: true } });
  });

  test("has no action that the contract does not name", () => {
    expect(Object.keys(actions)).toEqual(["greet", "ping"]);
  });

  test("70 without the middleware that decides who may what, nothing is done", async () => {
    const handler = actions["greet"]?.handler as unknown as (ctx: unknown) => Promise<string>;
    await expect(handler({ params: { name: "Anna" }, locals: {} })).rejects.toThrow("`authorize` is not installed");
  });

  test("a handler gets the parameters and the actor that the middleware left, not the one in meta", async () => {
    const handler = actions["greet"]?.handler as unknown as (ctx: Context) => Promise<string>;
    const ctx = {
      params: { name: "Anna" },
      meta: { actor: actor({ requestId: "forged" }) },
      locals: { actor: actor({ requestId: "verified" }) },
    };
    expect(await handler(ctx as unknown as Context)).toBe("Hello Anna, says verified");
  });
});

describe("an action that takes a stream", () => {
  const given: (Readable | undefined)[] = [];
  const { greet } = implement(greetings, {
    greet: async (_, __, stream) => {
      given.push(stream);
      return await Promise.resolve("Hello");
    },
    ping: () => Promise.reject(new Error("no")),
  });
  const run = (stream: unknown) => {
    const handler = greet?.handler as unknown as (ctx: unknown) => Promise<string>;
    return handler({ params: {}, meta: {}, locals: { actor: actor() }, stream });
  };

  test("gets it beside the parameters; what it leaves unread is thrown away", async () => {
    const stream = Readable.from(["a"]);
    expect(await run(stream)).toBe("Hello");
    expect([given.pop(), stream.destroyed]).toEqual([stream, true]);
  });

  test("gets nothing when nothing, or something else, was sent", async () => {
    for (const sent of [undefined, null, "text"]) {
      await run(sent);
      expect(given.pop()).toBeUndefined();
    }
  });
});

describe("call", () => {
  const answering = () => {
    const brokerCall = jest.fn<(...args: unknown[]) => Promise<string>>(() => Promise.resolve("Hello"));
    return { brokerCall, broker: { call: brokerCall } as unknown as ServiceBroker };
  };

  test("calls the action by its name, the actor beside the parameters", async () => {
    const { broker, brokerCall } = answering();
    const by: Actor = actor({ requestId: "request-9" });
    expect(await call(broker, greetings.greet, { name: "Anna" }, by)).toBe("Hello");
    expect(brokerCall.mock.calls).toEqual([
      ["greetings.greet", { name: "Anna" }, { meta: { actor: by }, requestID: "request-9" }],
    ]);
  });

  test("without a request there is no request id to hand on", async () => {
    const { broker, brokerCall } = answering();
    await call(broker, greetings.greet, { name: "Anna" }, actor({ requestId: "" }));
    expect(brokerCall.mock.calls[0]?.[2]).not.toHaveProperty("requestID");
  });
});
