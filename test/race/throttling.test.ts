import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { signUp } from "../contract/accounts.ts";
import { Client, type Answer } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { startNodes, type TestNode } from "../support/nodes.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { describeWithRedis, startRedis, type RunningRedis } from "../support/redis.ts";
import { createStand, startService, type TestService, type TestStand } from "../support/service.ts";
import { memoryLog } from "../unit/helpers.ts";

/** What holds when an operator has configured nothing, but for the network: all callers of a test share one. */
const defaults = { THROTTLE_WRONG_PASSWORDS: "" };
const wrongPassword = "wrong horse battery";
const signIn = (client: Client, email: string, typed: string): Promise<Answer> =>
  client.post("/api/v1/tokens/", { email, password: typed });
const countOf = (answers: readonly Answer[], status: number): number =>
  answers.filter((answer) => answer.status === status).length;

describe("100 sign-ins at once with wrong passwords, 5 allowed", () => {
  const log = memoryLog();
  let service: TestService;
  beforeAll(async () => {
    service = await startService(defaults, { log });
  });
  afterAll(() => service.stop());
  const compared = () => log.lines.filter(({ fields }) => fields["event"] === "authn_login_fail").length;

  test.each([
    ["a known address", async () => (await signUp(service)).email],
    ["an unknown one", () => Promise.resolve(uniqueEmail("nobody"))],
    ["one in a hundred spellings", async () => (await signUp(service)).email],
  ])("29 %s: five reach the compare, the others get 429, and then nobody is let in", async (kind, of) => {
    const email = await of();
    const spelled = (nth: number) =>
      kind.includes("spellings")
        ? email.replace(/[a-z]/g, (c, at: number) => ((nth >> (at % 7)) & 1 ? c.toUpperCase() : c))
        : email;
    const before = compared();
    const asked = Array.from({ length: 100 }, (_, nth) => signIn(service.client(), spelled(nth), wrongPassword));
    const answers = await Promise.all(asked);
    expect([countOf(answers, 401), countOf(answers, 429)]).toEqual([5, 95]);
    expect(compared() - before).toBe(5);
    expect((await signIn(service.client(), email, password)).status).toBe(429);
  });

  test("29 16 callers, one after the other each, while the owner signs in on his device: never more than five in a row", async () => {
    const { email, client } = await signUp(service);
    const before = compared();
    const guessing = Array.from({ length: 16 }, async () => {
      const answers: Answer[] = [];
      for (let nth = 0; nth < 8; nth++) answers.push(await signIn(service.client(), email, wrongPassword));
      return answers;
    });
    const owner: Answer[] = [];
    for (let nth = 0; nth < 10; nth++) owner.push(await signIn(client, email, password));
    const answers = (await Promise.all(guessing)).flat();
    expect([countOf(answers, 401), countOf(answers, 429)]).toEqual([5, 123]);
    expect(compared() - before).toBe(5);
    expect(countOf(owner, 200)).toBe(10);
  });

  test("the owner's device, five allowed, 16 at once with the right password: nothing stays counted", async () => {
    const { email, client } = await signUp(service);
    const answers = await Promise.all(Array.from({ length: 16 }, () => signIn(client, email, password)));
    expect(countOf(answers, 200)).toBeGreaterThanOrEqual(5);
    expect(countOf(answers, 200) + countOf(answers, 429)).toBe(16);
    const next = await eventually("he is let in", async () => {
      const answer = await signIn(client, email, password);
      return answer.status === 200 ? answer : undefined;
    });
    expect(next.status).toBe(200);
  });
});

test("61 20 requests at once for a new password, three mails allowed: three get through", async () => {
  const service = await startService({ THROTTLE_MAILS: "" });
  const email = uniqueEmail("nobody");
  const asked = Array.from({ length: 20 }, () => service.client().post("/api/v1/users/password-reset/", { email }));
  const answers = await Promise.all(asked);
  await service.stop();
  expect([countOf(answers, 200), countOf(answers, 429)]).toEqual([3, 17]);
});

/** Two nodes, on whatever they count in. */
function twoNodes(environment: () => Record<string, string>): void {
  let stand: TestStand;
  let nodes: TestNode[];
  beforeAll(async () => {
    stand = await createStand({ ...defaults, ...environment() });
    nodes = await startNodes(2, stand.env);
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await stand.stop();
  });

  test("29 34 100 wrong passwords at once on both: five in all", async () => {
    const clients = nodes.map(({ url }) => new Client(url));
    const email = uniqueEmail("nobody");
    const asked = Array.from({ length: 100 }, (_, nth) => signIn(clients[nth % 2]!, email, wrongPassword));
    const answers = await Promise.all(asked);
    expect([countOf(answers, 401), countOf(answers, 429)]).toEqual([5, 95]);
    for (const client of clients) expect((await signIn(client, email, wrongPassword)).status).toBe(429);
  });
}

describe("two nodes that count in PostgreSQL", () => twoNodes(() => ({})));

describeWithRedis("two nodes that count in Redis", () => {
  let redis: RunningRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  twoNodes(() => ({ REDIS_URL: redis.url }));
});
