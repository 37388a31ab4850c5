import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { bearer, signUp, type Person } from "../contract/accounts.ts";
import { Client, type Answer } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { freePort } from "../support/ports.ts";
import { describeWithRedis, startRedis, type RunningRedis } from "../support/redis.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { measureStaleness, quantile, type Watched } from "../support/staleness.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** Of all accounts together; the bar is 500. */
const changes = Number(process.env["ACCOUNT_CHANGES"] ?? 52);
const writers = 4;

const path = "/api/v1/users/current/";
const named = (name: string) => ({ user_profile: { first_name: name } });
const nameIn = (answer: Answer) =>
  (answer.json()["user_profile"] as Record<string, string> | undefined)?.["first_name"];

/** Two nodes with all services each, on one database and one NATS. */
async function startTwo(env: Record<string, string>) {
  const stand = await createStand(env);
  const otherPorts = { WEB_APP_PORT: String(await freePort()), GRPC_SERVER_PORT: String(await freePort()) };
  const envs = [stand.env, { ...stand.env, ...otherPorts }];
  const nodes = await Promise.all(envs.map((env) => startNode(loadConfig(env), silentLog)));
  const urls = envs.map((env) => `http://127.0.0.1:${env.WEB_APP_PORT}`);
  await Promise.all(nodes.map(({ broker }) => eventually("the nodes see each other", () => seesAnother(broker))));
  return { stand, nodes, urls };
}
const seesAnother = (broker: RunningNode["broker"]) =>
  broker.registry.events.getAllEndpoints("account.changed").length === 2 ? true : undefined;

interface Setting {
  readonly env: () => Record<string, string>;
  /** What happens to Redis before the change with this number. */
  readonly troubles?: Readonly<Record<number, () => unknown>>;
}

function tests({ env, troubles }: Setting): void {
  let nats: RunningNats;
  let stand: TestStand;
  let nodes: RunningNode[];
  let urls: string[];
  let moderator: Person;
  beforeAll(async () => {
    nats = await startNats();
    ({ stand, nodes, urls } = await startTwo({ TRANSPORTER: nats.url, ...env() }));
    moderator = await signUp(stand, "MO");
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await stand.stop();
    await nats.stop();
  });

  const at = (index: number) => new Client(urls[index] ?? "");
  const view = (index: number, { token }: Person) => at(index).get(path, bearer(token));
  async function rename(index: number, { token }: Person, name: string): Promise<void> {
    const answer = await at(index).request("PATCH", path, { body: named(name), ...bearer(token) });
    expect([answer.status, nameIn(answer)]).toEqual([200, name]);
  }
  async function renameByModerator(index: number, { id }: Person, name: string): Promise<void> {
    const of = `/api/v1/users/${id}/`;
    const answer = await at(index).request("PATCH", of, { body: named(name), ...bearer(moderator.token) });
    expect([answer.status, nameIn(answer)]).toEqual([200, name]);
  }

  /** Four people whose accounts are changed at once, by both services on both nodes, each seen by way of both. */
  async function watched(): Promise<Watched[]> {
    const people = await Promise.all(Array.from({ length: writers }, () => signUp(stand)));
    const numberIn = (answer: Answer): number => {
      expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
      return Number(/^Anna(\d*)$/.exec(nameIn(answer) ?? "")?.[1]);
    };
    return people.map((person) => ({
      change: (number) => (number % 3 === 0 ? renameByModerator : rename)(number % 2, person, `Anna${number}`),
      views: [
        async () => numberIn(await view(0, person)),
        async () => numberIn(await at(1).get(`/api/v1/users/${person.id}/`)),
      ],
    }));
  }

  test(`${changes} changes, 16 readers: no stale view after a second`, async () => {
    const { ages, reads } = await measureStaleness(await watched(), { changes: changes / writers, readers: 2 });
    expect(ages).toHaveLength(changes);
    expect(ages.at(-1)).toBeLessThan(1000);
    if (process.env["ACCOUNT_CHANGES"] !== undefined) {
      const [p50, p99, max] = [0.5, 0.99, 1].map((q) => quantile(ages, q).toFixed(1));
      const never = ages.filter((age) => age === 0).length;
      process.stderr.write(`stale: p50 ${p50}, p99 ${p99}, max ${max} ms; never ${never}; ${reads} reads\n`);
    }
  }, 120_000);

  if (troubles) {
    const title = "Redis goes away and comes back meanwhile: no error, and no stale view after a second";
    test(
      title,
      async () => {
        const [first, ...others] = await watched();
        const troubled: Watched = {
          views: first?.views ?? [],
          change: async (number) => {
            await troubles[number]?.();
            await first?.change(number);
          },
        };
        const { ages } = await measureStaleness([troubled, ...others], { changes: 40, readers: 2 });
        expect(ages).toHaveLength(40 * writers);
        expect(ages.at(-1)).toBeLessThan(1000);
      },
      60_000,
    );
  }

  test.each([0, 1])("on node %i: whoever changes something reads it there at once", async (index) => {
    const person = await signUp(stand);
    for (let change = 0; change < 20; change++) {
      const name = `Anna${change}`;
      await (change % 2 === 0 ? rename : renameByModerator)(index, person, name);
      expect(nameIn(await view(index, person))).toBe(name);
    }
  });

  test("a change that nobody was told of is seen everywhere within 5 s", async () => {
    const person = await signUp(stand);
    for (const index of [0, 1]) expect(nameIn(await view(index, person))).toBe("Anna");
    let name = "";
    // Once more if what the registration told comes late, or the five seconds are over just then.
    await eventually("a change is not seen at once", async () => {
      await view(0, person);
      name += "Maria";
      // As if the broadcast had been lost.
      await stand.query(
        "with changed as (update users set version = version where id = $1) update user_profiles set first_name = $2 where user_id = $1",
        [person.id, name],
      );
      return nameIn(await view(0, person)) === name ? undefined : true;
    });
    await Promise.all(
      [0, 1].map((index) =>
        eventually(
          `node ${index} shows it`,
          async () => (nameIn(await view(index, person)) === name ? true : undefined),
          5500,
        ),
      ),
    );
  });
}

describeWithNats("account cache: two nodes over NATS", () => {
  describe("each with its own memory", () => {
    tests({ env: () => ({}) });
  });

  describeWithRedis("with one Redis", () => {
    let redis: RunningRedis;
    let proxy: TcpProxy;
    beforeAll(async () => {
      redis = await startRedis();
      proxy = await startTcpProxy({ host: "127.0.0.1", port: redis.port });
    });
    afterAll(async () => {
      await proxy.stop();
      await redis.stop();
    });
    // A block of its own: the nodes end before Redis does.
    describe("and both with all services", () => {
      tests({
        env: () => ({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` }),
        troubles: {
          5: () => proxy.refuse(),
          15: () => proxy.restore(),
          20: () => {
            proxy.blackhole();
          },
          30: () => proxy.restore(),
        },
      });
    });
  });
});
