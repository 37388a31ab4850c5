import { describe, expect, test } from "@jest/globals";
import { signUp } from "../contract/accounts.ts";
import type { Answer } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import {
  stand,
  current,
  login,
  reset,
  confirmReset,
  wrongPassword,
  newPassword,
  newIp,
  from,
  signIn,
  statusesOf,
  times,
  countFor,
  useUp,
  startAnother,
} from "./throttled.ts";

describe("many accounts from one network", () => {
  test("28 one password against 1000 addresses: a hundred are compared, the others get 429", async () => {
    const ip = newIp();
    const answers: number[] = [];
    for (let batch = 0; batch < 50; batch++) {
      const asked = Array.from({ length: 20 }, () => signIn(uniqueEmail("spray"), wrongPassword, ip));
      answers.push(...statusesOf(await Promise.all(asked)));
    }
    expect(answers.filter((status) => status === 401)).toHaveLength(100);
    expect(answers.filter((status) => status === 429)).toHaveLength(900);
  }, 60_000);

  test("28 what is no address counts as well", async () => {
    const ip = newIp();
    await times(3, (nth) => signIn(`nobody ${nth}`, wrongPassword, ip));
    expect(await countFor("wrong-passwords-from-ip", ip)).toBe(3);
  });

  test("right passwords are not counted, however many come from one network", async () => {
    const { email } = await signUp(stand);
    const ip = newIp();
    await times(10, () => signIn(email, password, ip));
    expect(await countFor("wrong-passwords-from-ip", ip)).toBe(0);
  });

  test("what an account's budget refuses counts as well", async () => {
    const { email } = await signUp(stand);
    const [one, other] = [newIp(), newIp()];
    await times(5, () => signIn(email, wrongPassword, one));
    expect(statusesOf(await times(3, () => signIn(email, wrongPassword, other)))).toEqual([429, 429, 429]);
    expect(await countFor("wrong-passwords-from-ip", other)).toBe(3);
  });

  test("a network that has nothing left cannot use an account up", async () => {
    const { email } = await signUp(stand);
    const ip = newIp();
    await useUp("wrong-passwords-from-ip", ip);
    expect(statusesOf(await times(10, () => signIn(email, wrongPassword, ip)))).toEqual(
      Array.from({ length: 10 }, () => 429),
    );
    expect((await signIn(email, password)).status).toBe(200);
  });

  test("2.4.1 registrations: a hundred an hour, good or not", async () => {
    const ip = newIp();
    const taken = (await signUp(stand)).email;
    const register = (email: string) =>
      stand.client().post("/api/v1/users/customers/", registration({ email }), from(ip));
    expect((await register(uniqueEmail())).status).toBe(201);
    const answers: Answer[] = [];
    for (let batch = 0; batch < 10; batch++)
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => register(taken)))));
    expect(statusesOf(answers).filter((status) => status !== 400)).toEqual([429]);
    expect((await stand.client().post("/api/v1/users/customers/", registration(), from(newIp()))).status).toBe(201);
  }, 60_000);
});

describe("the client's address", () => {
  const points = (network: string) => countFor("wrong-passwords-from-ip", network);
  const attempt = (headers: Record<string, string>) =>
    stand.client().post(login, { email: uniqueEmail("nobody"), password: wrongPassword }, { headers });

  test("30 4.1.3 behind one proxy: what it added counts, and nothing that the client sent", async () => {
    const ip = newIp();
    await times(4, (nth) =>
      attempt({
        "x-forwarded-for": `203.0.113.${nth}, ${ip}`,
        "x-real-ip": `203.0.113.${nth}`,
        forwarded: `for=203.0.113.${nth}`,
        "cf-connecting-ip": `203.0.113.${nth}`,
        "true-client-ip": `203.0.113.${nth}`,
        "x-client-ip": `203.0.113.${nth}`,
      }),
    );
    expect([await points(ip), await points("203.0.113.1")]).toEqual([4, undefined]);
  });

  test("30 IPv6 counts by /64; a mapped IPv4 address is the IPv4 address", async () => {
    await times(5, (nth) => attempt({ "x-forwarded-for": `2001:db8:77:1:${nth}::${nth + 1}` }));
    await attempt({ "x-forwarded-for": "2001:db8:77:2::1" });
    expect([await points("2001:db8:77:1::/64"), await points("2001:db8:77:2::/64")]).toEqual([5, 1]);
    const ip = newIp();
    for (const spelling of [ip, `::ffff:${ip}`, `::FFFF:${ip}`, `${ip}:50123`])
      await attempt({ "x-forwarded-for": spelling });
    expect(await points(ip)).toBe(4);
  });

  test("30 without a proxy in front: with every header forged the throttle holds", async () => {
    await stand.query("delete from attempts where key = 'wrong-passwords-from-ip:127.0.0.1'");
    const node = await startAnother({ TRUSTED_PROXY_HOPS: "0", THROTTLE_PER_IP: "5" });
    const forged = [
      "x-forwarded-for",
      "x-real-ip",
      "forwarded",
      "cf-connecting-ip",
      "true-client-ip",
      "x-client-ip",
      "x-cluster-client-ip",
      "fastly-client-ip",
      "via",
    ];
    const answers = await times(8, (nth) => {
      const headers = Object.fromEntries(
        forged.map((name) => [name, name === "forwarded" ? `for=203.0.113.${nth}` : `203.0.113.${nth}`]),
      );
      return node.client().post(login, { email: uniqueEmail("nobody"), password: wrongPassword }, { headers });
    });
    await node.stop();
    await stand.query("delete from attempts where key = 'wrong-passwords-from-ip:127.0.0.1'");
    expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
  });
});

describe("34 shared by all nodes, and not forgotten by a restart", () => {
  test("what one node counted the other knows, and so does one that starts later", async () => {
    const { email } = await signUp(stand);
    await times(3, () => signIn(email, wrongPassword));
    const second = await startAnother();
    const there = await times(3, () => signIn(email, wrongPassword, newIp(), second.client()));
    expect(statusesOf(there)).toEqual([401, 401, 429]);
    await second.stop();
    expect((await signIn(email, password)).status).toBe(429);
    const third = await startAnother();
    expect((await signIn(email, password, newIp(), third.client())).status).toBe(429);
    await third.stop();
  });
});

test("2.4.1 reading is not limited", async () => {
  const { id, client } = await signUp(stand);
  const ip = newIp();
  const answers = await times(300, (nth) => client.get(nth % 2 ? current : `/api/v1/users/${id}/`, from(ip)));
  expect(new Set(statusesOf(answers))).toEqual(new Set([200]));
});

test("a refusal is told with its budget and the network, bounded, and without what was typed", async () => {
  const { email } = await signUp(stand);
  const ip = newIp();
  const node = await startAnother({
    NODE_ENV: "production",
    KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1",
    PASSWORD_HASH_COST: "10",
  });
  await times(5, () => signIn(email, wrongPassword, newIp(), node.client()));
  const refused = await Promise.all(Array.from({ length: 200 }, () => signIn(email, wrongPassword, ip, node.client())));
  expect(new Set(statusesOf(refused))).toEqual(new Set([429]));
  await node.stop();
  const lines = node.logs();
  const told = lines.filter(({ event, ip: by }) => event === "excess_rate_limit_exceeded" && by === ip);
  expect(told.length).toBeGreaterThan(0);
  // One a second, however long a busy machine takes for all of them.
  expect(told.length).toBeLessThan(20);
  expect(told[0]).toMatchObject({ budget: "wrong-passwords", level: "info" });
  expect(lines).toContainEqual(expect.objectContaining({ event: "authn_login_lock", wrong_in_a_row: 5, seconds: 900 }));
  const text = JSON.stringify(lines);
  for (const typed of [email, email.split("@")[0] ?? "", wrongPassword]) expect(text.includes(typed)).toBe(false);
});

test("16.5.3 PostgreSQL away: 503, nothing is let through, and it comes back", async () => {
  const { email } = await signUp(stand);
  const host = stand.env["PG_HOST"] ?? "";
  const proxy = await startTcpProxy({ host, port: Number(stand.env["PG_PORT"]) });
  const node = await startAnother({ PG_HOST: "127.0.0.1", PG_PORT: String(proxy.port) });
  const ask = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    node.client().post(path, body, { headers });
  await proxy.refuse();
  const answers = [
    await ask(login, { email, password }),
    await ask("/api/v1/users/customers/", registration()),
    await ask(reset, { email }),
    await ask(confirmReset, { token: "A".repeat(64), new_password: newPassword }),
    await ask("/api/v1/tokens/refresh/", undefined, { cookie: "refresh_token=x" }),
  ];
  expect(statusesOf(answers)).toEqual([503, 503, 503, 503, 503]);
  await proxy.restore();
  expect((await ask(login, { email, password })).status).toBe(200);
  await node.stop();
  await proxy.stop();
});
