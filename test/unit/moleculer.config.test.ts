import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { Errors, ServiceBroker, type ActionSchema, type BrokerOptions, type Context } from "moleculer";
import { ServiceError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { notConnected } from "../../mixins/transporter/not-connected.ts";
import brokerOptions from "../../moleculer.config.ts";
import { eventually } from "../support/eventually.ts";
import { config, rejection } from "./helpers.ts";

/** Moleculer's defaults wait for ever, let every call through, and stop without waiting (SECURITY.md, 1.3). Ours do not. */
let brokers: ServiceBroker[] = [];
/** What handlers of a test wait for: a stop would wait for them. */
let over = Promise.withResolvers<string>();
afterEach(async () => {
  over.resolve("over");
  over = Promise.withResolvers();
  await Promise.all(brokers.map((broker) => broker.stop()));
  brokers = [];
});
const untilTheEnd = () => over.promise;

type Handlers = Record<string, (ctx: Context) => unknown>;
async function started(handlers: Handlers, changes: BrokerOptions = {}): Promise<ServiceBroker> {
  const broker = new ServiceBroker({ ...brokerOptions(config(), silentLog), ...changes });
  const words = { visibility: "public", auth: "internal" } as const;
  const actions = Object.entries(handlers).map(([name, handler]): [string, ActionSchema] => [
    name,
    { ...words, handler },
  ]);
  broker.createService({ name: "test", actions: Object.fromEntries(actions) });
  await broker.start();
  brokers.push(broker);
  return broker;
}
/** A node with these actions, and one that calls them over a transporter. */
async function callerOf(handlers: Handlers): Promise<{ broker: ServiceBroker; other: ServiceBroker }> {
  const other = await started(handlers, { transporter: "Fake" });
  // A stop would wait for answers that do not come.
  const caller: BrokerOptions = { transporter: "Fake", tracking: { enabled: false } };
  const broker = new ServiceBroker({ ...brokerOptions(config(), silentLog), ...caller });
  brokers.push(broker);
  await broker.start();
  await broker.waitForServices("test");
  return { broker, other };
}
/** As a process that is stopped, or a network that swallows everything. @returns ends it */
function silence(node: ServiceBroker): () => void {
  const transit = node.transit!;
  const sendResponse = transit.sendResponse.bind(transit);
  transit.sendResponse = () => Promise.resolve();
  return () => (transit.sendResponse = sendResponse);
}
const typeOf = (error: unknown) => (error as { type?: string }).type;

describe("the broker: a call", () => {
  test("that nobody answers is given up after 2.5 s", async () => {
    const broker = await started({ untilTheEnd });
    const began = performance.now();
    expect(typeOf(await rejection(broker.call("test.untilTheEnd")))).toBe("REQUEST_TIMEOUT");
    const waited = performance.now() - began;
    expect([waited > 2400, waited < 4000]).toEqual([true, true]);
  });

  test("that calls itself ends after ten levels", async () => {
    const deep = jest.fn((ctx: Context) => ctx.call("test.deep"));
    const broker = await started({ deep });
    expect((await rejection(broker.call("test.deep"))) as Error).toMatchObject({ name: "MaxCallLevelError" });
    expect(deep.mock.calls.length).toBeLessThanOrEqual(10);
  });

  test("that failed is not made again: it may have done half of its work", async () => {
    const fail = jest.fn(() => Promise.reject(Object.assign(new Error("no"), { retryable: true })));
    const broker = await started({ fail });
    await rejection(broker.call("test.fail"));
    expect(fail).toHaveBeenCalledTimes(1);
  });

  test("beyond 200 that run and 1,000 that wait is refused at once", async () => {
    const slow = jest.fn(untilTheEnd);
    const broker = await started({ slow });
    const calls = Array.from({ length: 1200 }, () => broker.call("test.slow"));
    expect(typeOf(await rejection(broker.call("test.slow")))).toBe("QUEUE_FULL");
    expect(slow).toHaveBeenCalledTimes(200);
    over.resolve("over");
    await Promise.all(calls);
    expect(slow).toHaveBeenCalledTimes(1200);
  });

  test("of a node that is silent is refused at once after a while; of one that says no it is not", async () => {
    const no = () => Promise.reject(new ServiceError("permission_denied"));
    const { broker, other } = await callerOf({ untilTheEnd, no });
    const calls = (name: string) =>
      Promise.all(Array.from({ length: 30 }, () => rejection(broker.call(name, {}, { timeout: 50 }))));
    expect(new Set((await calls("test.no")).map(typeOf))).toEqual(new Set(["permission_denied"]));
    silence(other);
    expect(new Set((await calls("test.untilTheEnd")).map(typeOf))).toEqual(new Set(["REQUEST_TIMEOUT"]));
    const began = performance.now();
    expect(typeOf(await rejection(broker.call("test.untilTheEnd")))).toBe("SERVICE_NOT_AVAILABLE");
    expect(performance.now() - began).toBeLessThan(1000);
  });

  const tooSlow = new Errors.RequestTimeoutError({ action: "third.slow", nodeID: "third" });
  const noes: readonly (readonly [string, string | undefined, Error])[] = [
    ["a refusal of ours", "permission_denied", new ServiceError("permission_denied")],
    ["an invalid call", "VALIDATION_ERROR", new Errors.ValidationError("no", "VALIDATION_ERROR", [])],
    ["a full queue", "QUEUE_FULL", new Errors.QueueIsFullError({ action: "test.no", nodeID: "other" })],
    ["an error without a type", undefined, new TypeError("no")],
    ["what a third node was too slow for", "REQUEST_TIMEOUT", Object.assign(tooSlow, { nodeID: "third" })],
  ];
  test.each(noes)("is let through again when its node has said no after a silence: %s", async (_, type, error) => {
    const { broker, other } = await callerOf({ no: () => Promise.reject(error) });
    const call = () => rejection(broker.call("test.no", {}, { timeout: 50 }));
    const goOn = silence(other);
    await Promise.all(Array.from({ length: 30 }, call));
    expect(typeOf(await call())).toBe("SERVICE_NOT_AVAILABLE");
    goOn();
    await eventually("an answer", async () => (typeOf(await call()) === type ? true : undefined), 4000);
    expect(typeOf(await call())).toBe(type);
  });

  test("is let through after a silence although somebody sends nonsense all the time", async () => {
    const strict = ({ params }: Context) => {
      if (!("good" in (params as object))) throw new Errors.ValidationError("no", "VALIDATION_ERROR", []);
      return "done";
    };
    const { broker, other } = await callerOf({ strict });
    const call = (params: object) => broker.call("test.strict", params, { timeout: 50 });
    const goOn = silence(other);
    await Promise.all(Array.from({ length: 30 }, () => rejection(call({ good: true }))));
    goOn();
    await eventually("nonsense is answered", async () =>
      typeOf(await rejection(call({}))) === "VALIDATION_ERROR" ? true : undefined,
    );
    expect(await call({ good: true })).toBe("done");
  });

  test("that could not even be sent is no answer: its node stays shut out", async () => {
    const { broker, other } = await callerOf({ untilTheEnd });
    const call = () => rejection(broker.call("test.untilTheEnd", {}, { timeout: 50 }));
    silence(other);
    await Promise.all(Array.from({ length: 30 }, call));
    broker.transit!.publish = () => Promise.reject(notConnected());
    await eventually("one is let through", async () => (typeOf(await call()) === "BAD_GATEWAY" ? true : undefined));
    expect(typeOf(await call())).toBe("SERVICE_NOT_AVAILABLE");
  });

  test("is let through while most answers are refusals", async () => {
    const no = () => Promise.reject(new ServiceError("permission_denied"));
    const { broker, other } = await callerOf({ no });
    const calls = (count: number) =>
      Promise.all(Array.from({ length: count }, () => rejection(broker.call("test.no", {}, { timeout: 50 }))));
    await calls(100);
    const goOn = silence(other);
    await calls(30);
    goOn();
    expect((await calls(1)).map(typeOf)).toEqual(["permission_denied"]);
  });

  test("that runs when the node stops is finished", async () => {
    const broker = await started({ slow: () => new Promise((resolve) => setTimeout(resolve, 300, "done")) });
    const call = broker.call("test.slow");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await broker.stop();
    brokers = [];
    expect(await Promise.race([call, Promise.resolve("not yet")])).toBe("done");
  });
});

describe("the broker: what it shows and tells", () => {
  test.each(["$node.services", "$node.options", "$node.health", "$node.list", "$node.actions"])(
    "%s is not there",
    async (name) => {
      const broker = await started({});
      expect(typeOf(await rejection(broker.call(name)))).toBe("SERVICE_NOT_FOUND");
    },
  );

  test("a node that is gone is missed after eight seconds, and calls are tried nowhere else by themselves", () => {
    expect(brokerOptions(config(), silentLog)).toMatchObject({
      heartbeatInterval: 3,
      heartbeatTimeout: 8,
      retryPolicy: { enabled: false },
    });
  });
});
