import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Log } from "../../lib/log.ts";
import type { RunningNode } from "../../node.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { createTwoNodes, type TwoNodes } from "../support/two-nodes.ts";
import { memoryLog } from "../unit/helpers.ts";

let on: TwoNodes;
beforeEach(async () => {
  on = await createTwoNodes();
});
afterEach(() => on.stop(), 60_000);

describe("TCP, without a broker", () => {
  test("a node that nobody's list names finds those that its own names, and is found", async () => {
    const port = await freePort();
    await on.start("auth", { TRANSPORTER: `tcp://127.0.0.1:${port}`, TRANSPORTER_TCP_PORT: String(port) });
    await on.start("api-gateway", { TRANSPORTER: `tcp://127.0.0.1:${port}`, TRANSPORTER_TCP_PORT: "0" });
    await on.answers("auth answers");
  });

  test("a connection that takes everything and gives nothing: calls fail in time, and it is made anew", async () => {
    const port = await freePort();
    const proxy = await on.proxyTo(port);
    await on.start("auth", { TRANSPORTER: `tcp://127.0.0.1:${port}`, TRANSPORTER_TCP_PORT: String(port) });
    await on.start("api-gateway", { TRANSPORTER: `tcp://127.0.0.1:${proxy.port}`, TRANSPORTER_TCP_PORT: "0" });
    await on.answers("auth answers");
    proxy.blackhole();
    expect(await on.signIn()).toBe(503);
    await proxy.restore();
    await on.answers("auth answers again");
  }, 60_000);
});

describe("a new SECRET_KEY, node after node", () => {
  const [old, next] = ["old-secret-0123456789-abcdefghijklmn", "next-secret-9876543210-zyxwvutsrqpo"];
  const steps = [
    { SECRET_KEY: old, SECRET_KEY_PREVIOUS: next },
    { SECRET_KEY: next, SECRET_KEY_PREVIOUS: old },
    { SECRET_KEY: next },
  ];

  test("at every moment both nodes understand each other; without the first step they do not", async () => {
    const port = await freePort();
    const TRANSPORTER = `tcp://127.0.0.1:${port}`;
    const startOne = (services: string, secrets: Record<string, string>, log?: Log) => {
      const own = { TRANSPORTER, TRANSPORTER_TCP_PORT: services === "auth" ? String(port) : "0" };
      return on.start(services, { ...own, ...secrets }, log);
    };
    const nodes = new Map<string, RunningNode>();
    const accepts = memoryLog();
    for (const name of ["auth", "api-gateway"]) nodes.set(name, await startOne(name, { SECRET_KEY: old }));
    await on.answers("before");
    for (const [index, secrets] of steps.entries()) {
      for (const name of ["auth", "api-gateway"]) {
        await nodes.get(name)?.stop();
        nodes.set(name, await startOne(name, secrets, name === "auth" ? accepts : undefined));
        await on.answers(`step ${index + 1}, ${name} restarted`);
      }
    }
    await nodes.get("api-gateway")?.stop();
    const isForeign = (line: { message: string }) => line.message.includes("not of this cluster");
    expect(accepts.lines.filter(isForeign)).toEqual([]);
    const dials = memoryLog();
    await startOne("api-gateway", { SECRET_KEY: old }, dials);
    await eventually("it is told", () => (accepts.lines.some(isForeign) ? true : undefined));
    expect(await on.signIn()).toBe(503);
    expect(accepts.lines.find(isForeign)?.fields).toMatchObject({ refused: { unknown_key: expect.any(Number) } });
    const told = dials.lines.filter(({ message }) => message.includes("no connection to another node"));
    expect(told.map(({ fields }) => fields["reason"])).toEqual([expect.stringContaining("SECRET_KEY")]);
  }, 90_000);
});
