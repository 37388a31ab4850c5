import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { join } from "node:path";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { startNodes, type TestNode } from "../support/nodes.ts";
import {
  kinds,
  prepare,
  revokeAndWatch,
  signUp,
  type Kind,
  type Person,
  type Platform,
  type Times,
} from "../support/revocation.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** `npm run bench -- --row revocation` makes 200 of each. */
const trials = 10;
const dropRevocations = join(import.meta.dirname, "../support/drop-revocations.ts");

let stand: TestStand;
let nodes: TestNode[] = [];
beforeEach(async () => {
  stand = await createStand();
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.kill()));
  await stand.stop();
});

const query: Platform["query"] = (text, values) => stand.query(text, values);
async function startPlatform(env: Record<string, string>, imports: readonly string[] = []): Promise<Platform> {
  nodes = await startNodes(3, { ...stand.env, ...env }, { imports });
  return { nodes, query, moderator: await signUp({ nodes, query }, "MO") };
}

describeWithNats("a token that is taken back, on three nodes over NATS", () => {
  let nats: RunningNats;
  beforeEach(async () => {
    nats = await startNats();
  });
  afterEach(() => nats.stop());

  test(`${trials} of each kind: REST and gRPC of every node refuse within a second`, async () => {
    const platform = await startPlatform({ TRANSPORTER: nats.url });
    const measure = async (kind: Kind, nth: number, withinMs: number) => {
      const { noticed } = await revokeAndWatch(platform, kind, { nth, everyMs: 5, withinMs });
      return await noticed;
    };
    await eventually("the nodes have found each other", async () => {
      for (const nth of [0, 1, 2]) await measure("logout", nth, 500);
      return true;
    });
    for (const kind of kinds) {
      for (let nth = 0; nth < trials; nth++) {
        const { REST, gRPC } = await measure(kind, nth, 1000);
        expect([REST.length, gRPC.length]).toEqual([3, 3]);
      }
    }
  }, 120_000);

  test(`${trials} of each kind, every broadcast lost: they refuse within 5 s, by their poll`, async () => {
    const platform = await startPlatform({ TRANSPORTER: nats.url }, [dropRevocations]);
    const watched: Promise<Times>[] = [];
    for (const kind of kinds) {
      for (let nth = 0; nth < trials; nth++) {
        const { noticed } = await revokeAndWatch(platform, kind, { nth, everyMs: 250, withinMs: 5000 });
        watched.push(noticed);
      }
    }
    const times = await Promise.all(watched);
    const slowest = Math.max(...times.flatMap(({ REST, gRPC }) => [...REST, ...gRPC]));
    expect(slowest).toBeGreaterThan(1000);
  }, 120_000);

  test("all nodes killed right after the answer, and started again: it is refused", async () => {
    const platform = await startPlatform({ TRANSPORTER: nats.url }, [dropRevocations]);
    const revoked = [];
    for (const [nth, kind] of kinds.entries()) revoked.push({ nth, ...(await prepare(platform, kind)) });
    for (const { demandGood } of revoked) await demandGood();
    await Promise.all(revoked.map(({ nth, revoke }) => revoke(nth)));
    await Promise.all(nodes.splice(0).map((node) => node.kill()));
    nodes = await startNodes(3, { ...stand.env, TRANSPORTER: nats.url });
    for (const { demandRevokedAt } of revoked) await demandRevokedAt(nodes);
  }, 120_000);
});

describe("the database away", () => {
  /** The poll's period, and what two cores add. */
  const slackMs = 3000;
  let proxies: TcpProxy[] = [];
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) await proxy.stop();
  });

  const rest = async ({ url }: TestNode, { token }: Person) =>
    (await new Client(url).get("/api/v1/sessions/", { headers: { authorization: `Bearer ${token}` } })).status;
  const isServed = async (node: TestNode, person: Person): Promise<boolean> => {
    const answer = await node.roles.getUserRole(person.token);
    if ("role" in answer) return true;
    expect(answer).toEqual({ code: status.UNAVAILABLE, details: "Try again later" });
    return false;
  };

  test("refusing or silent: known tokens are served for 30 s, others never, and all are well again after", async () => {
    const ways = ["refuse", "blackhole"] as const;
    const { host, port } = stand.database;
    proxies = await Promise.all(ways.map(() => startTcpProxy({ host, port })));
    const started = await Promise.all(
      proxies.map((proxy) => startNodes(1, { ...stand.env, PG_PORT: String(proxy.port) })),
    );
    nodes = started.flat();
    await Promise.all(
      ways.map(async (way, index) => {
        const [proxy, node] = [proxies[index], nodes[index]];
        if (!proxy || !node) throw new Error("not started");
        const on = { nodes: [node], query };
        const [known, stranger, revoked] = [await signUp(on, "CU"), await signUp(on, "CU"), await signUp(on, "CU")];
        await stand.query("update sessions set ended_at = now() where user_id = $1", [revoked.id]);
        expect(await isServed(node, known)).toBe(true);
        const began = performance.now();
        await proxy[way]();
        let servedMs = 0;
        await eventually(
          `${way}: the known one is served no longer`,
          async () => {
            const asked = performance.now();
            expect(await Promise.all([stranger, revoked].map((person) => isServed(node, person)))).toEqual([
              false,
              false,
            ]);
            expect(performance.now() - asked).toBeLessThan(1000);
            const served = await isServed(node, known);
            if (served) servedMs = performance.now() - began;
            return served ? undefined : true;
          },
          40_000,
        );
        expect(servedMs).toBeGreaterThan(30_000 - slackMs);
        expect(servedMs).toBeLessThan(30_000 + slackMs);
        const asked = performance.now();
        expect(await Promise.all([known, stranger, revoked].map((person) => rest(node, person)))).toEqual([
          503, 503, 503,
        ]);
        expect(performance.now() - asked).toBeLessThan(3000);
        await proxy.restore();
        await eventually(`${way}: well again`, async () =>
          (await isServed(node, known)) && (await isServed(node, stranger)) ? true : undefined,
        );
        expect(await node.roles.getUserRole(revoked.token)).toMatchObject({ details: "Session has ended" });
      }),
    );
  }, 120_000);
});
