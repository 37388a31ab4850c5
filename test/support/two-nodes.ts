import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import { silentLog, type Log } from "../../lib/log.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { memoryLog } from "../unit/helpers.ts";
import { createAuthority } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { registration } from "./people.ts";
import { createStand, type TestStand } from "./service.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** Nodes in this process, usually a gateway and `auth`, and what is between them. */
export interface TwoNodes {
  readonly stand: TestStand;
  /** @param services as in `SERVICES` */
  start(services: string, env: Record<string, string>, log?: Log): Promise<RunningNode>;
  /** Something to stop before what it stands on. */
  atTheEnd(end: () => Promise<void>): void;
  proxyTo(port: number): Promise<TcpProxy>;
  /** Asks the gateway for something that `auth` answers with 401. @returns the status */
  signIn(): Promise<number>;
  answers(what: string): Promise<true>;
  /** What readiness says of the transporter. */
  transporter(): Promise<string | undefined>;
  stop(): Promise<void>;
}

export async function createTwoNodes(): Promise<TwoNodes> {
  const stand = await createStand();
  const ends = [() => stand.stop()];
  const atTheEnd = (end: () => Promise<void>): void => void ends.unshift(end);
  const signIn = async () => {
    const body = { email: "nobody@example.com", password: "correct horse battery" };
    return (await stand.client().post("/api/v1/tokens/", body)).status;
  };
  return {
    stand,
    atTheEnd,
    signIn,
    start: async (SERVICES, env, log = silentLog) => {
      const node = await startNode(loadConfig({ ...stand.env, ...env, SERVICES }), log);
      let stopped: Promise<void> | undefined;
      const stop = () => (stopped ??= node.stop());
      atTheEnd(stop);
      return { ...node, stop };
    },
    proxyTo: async (port) => {
      const proxy = await startTcpProxy({ host: "127.0.0.1", port });
      atTheEnd(() => proxy.stop());
      return proxy;
    },
    answers: (what) => eventually(what, async () => ((await signIn()) === 401 ? true : undefined), 20_000),
    transporter: async () => {
      const { checks } = (await stand.client().get("/health/ready")).json() as { checks: Record<string, string> };
      return checks["transporter"];
    },
    stop: async () => {
      for (const end of ends) await end();
    },
  };
}

/**
 * A gateway and `auth`, between which a broker is taken away in a way of its own and given back.
 * @param env of both nodes, with "broker-password" wherever a password stands
 */
export async function losesItsBroker(
  on: TwoNodes,
  proxy: TcpProxy,
  env: Record<string, string>,
  ways: readonly ("refuse" | "blackhole")[],
): Promise<void> {
  const log = memoryLog();
  await on.start("auth", env);
  await on.start("api-gateway", env, log);
  await on.answers("both nodes have found each other");
  const says = (state: string) =>
    eventually(`the transporter is ${state}`, async () => ((await on.transporter()) === state ? true : undefined));
  for (const way of ways) {
    await proxy[way]();
    await says("degraded");
    const began = performance.now();
    expect(await on.signIn()).toBe(503);
    const late = registration();
    expect((await on.stand.client().post("/api/v1/users/customers/", late)).status).toBe(503);
    expect(performance.now() - began).toBeLessThan(1000);
    await proxy.restore();
    await on.answers("all is well again");
    // Whoever was told that it failed is not surprised by it later.
    expect(await on.stand.query("select 1 from users where email = $1", [late.email])).toEqual([]);
    await says("ok");
  }
  expect(log.text()).toMatch(/is away: calls to other nodes fail until it is back.*is back/);
  expect(log.text()).not.toContain("broker-password");
}

/** Paths of PEM files: an authority, and a certificate of it for 127.0.0.1 with its key. */
export async function certificateFiles(): Promise<{
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}> {
  const authority = await createAuthority();
  const { cert, key } = await authority.issue();
  const folder = await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "certificates-"));
  const files = { ca: join(folder, "ca.crt"), cert: join(folder, "own.crt"), key: join(folder, "own.key") };
  await writeFile(files.ca, authority.cert);
  await writeFile(files.cert, cert);
  await writeFile(files.key, key);
  return files;
}
