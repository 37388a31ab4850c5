import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { encodeUserId } from "../../lib/user-reference.ts";
import { keyRing } from "../../lib/keys.ts";
import { mintOneTimeToken } from "../../lib/one-time-token.ts";
import {
  mailedLink,
  resetRequestsFollowedUp,
  said,
  setCookiesOf,
  signUp,
  submitForm,
  tokenOf,
} from "../contract/accounts.ts";
import { Client, type Answer, type RequestOptions } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** What holds when an operator has configured nothing, and one proxy stands in front, which is this test. */
const defaults = { THROTTLE_WRONG_PASSWORDS: "", THROTTLE_PER_IP: "", THROTTLE_MAILS: "" };
let stand: TestStand;
let running: ServiceProcess;
beforeAll(async () => {
  stand = await createStand({ ...defaults, TRUSTED_PROXY_HOPS: "1" });
  running = startProcess(stand.env);
  await running.ready();
});
afterAll(async () => {
  await running.stop();
  await stand.stop();
});

const login = "/api/v1/tokens/";
const reset = "/api/v1/users/password-reset/";
const confirmReset = "/api/v1/users/password-reset/confirm/";
const current = "/api/v1/users/current/";
const changePassword = "/api/v1/users/current/password/";
const wrongPassword = "wrong horse battery";
const newPassword = "seven bicycles in the rain";
const tooMany = { detail: "Too many requests. Try again later.", code: "too_many_requests" };

let networks = 0;
/** An address that no other test of this file has: 198.18.0.0/15 belongs to benchmarks. */
const newIp = (): string => `198.18.${networks >> 8}.${networks++ & 0xff}`;
const from = (ip: string): RequestOptions => ({ headers: { "x-forwarded-for": ip } });
const signIn = (email: string, typed: string, ip = newIp(), client: Client = stand.client()): Promise<Answer> =>
  client.post(login, { email, password: typed }, from(ip));
const statusesOf = (answers: readonly Answer[]) => answers.map(({ status }) => status);
/** One after the other. */
async function times<T>(count: number, ask: (nth: number) => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  for (let nth = 0; nth < count; nth++) answers.push(await ask(nth));
  return answers;
}
/** Wrong passwords from as many networks, until nothing is left. */
async function exhaust(email: string): Promise<void> {
  const answers = await times(6, () => signIn(email, wrongPassword));
  expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429]);
}
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
/** What is counted for an address, by budget. */
const countsOf = async (email: string): Promise<Record<string, number>> => {
  const rows = await stand.query<{ key: string; points: number }>("select * from attempts where key like '%:' || $1", [
    sha256(email),
  ]);
  return Object.fromEntries(rows.map(({ key, points }) => [key.split(":")[0] ?? "", points]));
};
const countFor = async (budget: string, network: string): Promise<number | undefined> => {
  const [row] = await stand.query<{ points: number }>("select points from attempts where key = $1", [
    `${budget}:${network}`,
  ]);
  return row?.points;
};
const useUp = (budget: string, network: string) =>
  stand.query("insert into attempts values ($1, 1000000, $2)", [`${budget}:${network}`, Date.now() + 60_000]);
/** Another node on the same database. */
async function startAnother(changes: Record<string, string> = {}) {
  const port = String(await freePort());
  const own = { WEB_APP_PORT: port, GRPC_SERVER_PORT: String(await freePort()) };
  const node = startProcess({ ...stand.env, ...own, ...changes });
  await node.ready();
  return { client: () => new Client(`http://127.0.0.1:${port}`), stop: () => node.stop(), logs: () => node.logs() };
}
const blockPasses = (email: string) =>
  stand.query("update attempts set expire = 0 where key = 'wrong-passwords:' || $1", [sha256(email)]);

describe("wrong passwords for one account", () => {
  test.each([
    ["a known address", async () => (await signUp(stand)).email],
    ["an unknown address", () => Promise.resolve(uniqueEmail("nobody"))],
  ])("27 33 %s, from rotating networks: five, then 429, and the right password gets the same", async (_, email) => {
    const of = await email();
    await exhaust(of);
    const [wrong, right] = [await signIn(of, wrongPassword), await signIn(of, password)];
    for (const answer of [wrong, right]) {
      expect(said(answer)).toEqual([429, tooMany]);
      expect(setCookiesOf(answer)).toEqual([]);
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(890);
      expect(Number(answer.headers.get("retry-after"))).toBeLessThanOrEqual(900);
    }
    const told = ({ headers }: Answer) => [...headers.keys()].filter((name) => name !== "retry-after").toSorted();
    expect([wrong.text, told(wrong)]).toEqual([right.text, told(right)]);
  });

  test("27 after each block five more; in all 95 in a row are compared, then none for as long as it is remembered", async () => {
    const { email } = await signUp(stand);
    const hours: number[] = [];
    for (let round = 0; round < 19; round++) {
      expect(statusesOf(await times(5, () => signIn(email, wrongPassword)))).toEqual([401, 401, 401, 401, 401]);
      const [block] = await stand.query<{ points: number; hours: number }>(
        `select points, round((expire / 1000.0 - extract(epoch from now())) / 3600, 2)::float8 as hours
         from attempts where key = 'wrong-passwords:' || $1`,
        [sha256(email)],
      );
      expect(block?.points).toBe(6);
      hours.push(block?.hours ?? 0);
      // The next round comes when the block is over; after the last one nothing is.
      if (round < 18) await blockPasses(email);
    }
    expect(hours).toEqual([0.25, 0.5, 1, 2, 4, 8, 16, ...Array.from({ length: 11 }, () => 24), 720]);
    expect((await signIn(email, password)).status).toBe(429);
  }, 60_000);

  test("6.3.1 a slow drip: one in each quarter of an hour is five in a row as well", async () => {
    const { email } = await signUp(stand);
    for (let nth = 0; nth < 5; nth++) {
      await blockPasses(email);
      expect((await signIn(email, wrongPassword)).status).toBe(401);
    }
    expect((await signIn(email, password)).status).toBe(429);
  });

  test("27 every spelling of an address is the same account", async () => {
    const { email } = await signUp(stand);
    const spellings = [email, email.toUpperCase(), ` ${email}`, `${email} `, `${email}.`];
    const answers = await times(7, (nth) => signIn(spellings[nth % spellings.length] ?? "", wrongPassword));
    expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429, 429]);
  });

  test("a right password begins anew", async () => {
    const { email } = await signUp(stand);
    for (let round = 0; round < 3; round++) {
      await times(4, () => signIn(email, wrongPassword));
      expect((await signIn(email, password)).status).toBe(200);
    }
    expect(await countsOf(email)).toEqual({});
  });

  test("an inactive account with its right password counts as a wrong one", async () => {
    const { id, email } = await signUp(stand);
    await stand.query("update users set is_active = false where id = $1", [id]);
    const answers = await times(6, () => signIn(email, password));
    expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429]);
  });

  test("29 what was not compared, since too many hashes waited, is given back to account and network", async () => {
    const asked = Array.from({ length: 150 }, () => ({ email: uniqueEmail("flood"), ip: newIp() }));
    const answers = await Promise.all(asked.map(({ email, ip }) => signIn(email, wrongPassword, ip)));
    expect(statusesOf(answers)).toContain(503);
    for (const [nth, { email, ip }] of asked.entries()) {
      const counted = answers[nth]?.status === 401 ? 1 : 0;
      const { "wrong-passwords": ofAccount } = await countsOf(email);
      expect([ofAccount, await countFor("wrong-passwords-from-ip", ip)]).toEqual([counted, counted]);
    }
  }, 60_000);
});

describe("the owner of an account that a stranger guesses at", () => {
  test("32 signs in on a device that he signed in on before, which has wrong passwords of its own", async () => {
    const { email, client } = await signUp(stand);
    await exhaust(email);
    const ip = newIp();
    const onHis = (typed: string) => signIn(email, typed, ip, client);
    expect(statusesOf(await times(3, () => onHis(password)))).toEqual([200, 200, 200]);
    const answers = await times(6, () => onHis(wrongPassword));
    expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429]);
    expect((await onHis(password)).status).toBe(429);
  });

  test("32 his device's budget is not the stranger's: the stranger stays blocked", async () => {
    const { email, client } = await signUp(stand);
    await exhaust(email);
    expect((await signIn(email, password, newIp(), client)).status).toBe(200);
    expect((await signIn(email, password)).status).toBe(429);
  });

  test("32 signs in on a new device after he has set a new password by mail", async () => {
    const { email } = await signUp(stand);
    await exhaust(email);
    expect((await stand.client().post(reset, { email }, from(newIp()))).status).toBe(200);
    const token = tokenOf(await mailedLink(stand, "reset-password", email));
    const answer = await stand.client().post(confirmReset, { token, new_password: newPassword }, from(newIp()));
    expect(answer.status).toBe(200);
    expect((await signIn(email, newPassword)).status).toBe(200);
    await exhaust(email);
  });

  test("32 signs in from a network in which somebody else has used everything up", async () => {
    const { email, client } = await signUp(stand);
    const ip = newIp();
    await useUp("wrong-passwords-from-ip", ip);
    expect((await signIn(email, password, ip)).status).toBe(429);
    expect((await signIn(email, password, ip, client)).status).toBe(200);
  });

  test("32 keeps his device when he signs out, and its id when he signs in again", async () => {
    const { email, client } = await signUp(stand);
    const before = client.cookie("device_id");
    await client.post("/api/v1/tokens/clear/");
    expect(client.cookie("device_id")).toBe(before);
    expect((await signIn(email, password, newIp(), client)).status).toBe(200);
    expect(client.cookie("device_id")).toBe(before);
  });

  test("32 changes his password while signed in, with the session alone", async () => {
    const { email, client } = await signUp(stand);
    await exhaust(email);
    const authorization = { headers: { authorization: `Bearer ${client.cookie("access_token") ?? ""}` } };
    const body = { current_password: password, new_password: newPassword };
    expect((await stand.client().post(changePassword, body, authorization)).status).toBe(200);
    expect((await signIn(email, newPassword)).status).toBe(200);
  });
});

describe("a device's cookie", () => {
  const withDevice = (email: string, device: string, typed = password) =>
    stand
      .client()
      .post(
        login,
        { email, password: typed },
        { headers: { cookie: `device_id=${device}`, "x-forwarded-for": newIp() } },
      );

  test("is no credential: alone it opens nothing, and it is bound by the same wrong passwords", async () => {
    const { client } = await signUp(stand);
    const device = client.cookie("device_id") ?? "";
    const headers = { cookie: `device_id=${device}` };
    expect((await stand.client().get(current, { headers })).status).toBe(401);
    expect((await stand.client().get(current, { headers: { authorization: `Bearer ${device}` } })).status).toBe(401);
    const asRefresh = { headers: { cookie: `refresh_token=${device}` } };
    expect((await stand.client().post("/api/v1/tokens/refresh/", undefined, asRefresh)).status).toBe(401);
  });

  test.each([
    ["of another account", async () => (await signUp(stand)).client.cookie("device_id") ?? ""],
    ["random", () => Promise.resolve(randomBytes(32).toString("base64url"))],
    ["empty", () => Promise.resolve("")],
    ["100 KB less a header's limit", () => Promise.resolve("A".repeat(10_000))],
    ["escaped", () => Promise.resolve("%00%27%E0%A4%A")],
  ])("forged, %s: has no budget of its own", async (_, forged) => {
    const { email } = await signUp(stand);
    await exhaust(email);
    expect((await withDevice(email, await forged())).status).toBe(429);
  });

  test("with one character changed: the same", async () => {
    const { email, client } = await signUp(stand);
    const device = client.cookie("device_id") ?? "";
    await exhaust(email);
    expect((await withDevice(email, device)).status).toBe(200);
    for (const at of [0, 10, 21, 22, 30, 41]) {
      const other = device[at] === "A" ? "B" : "A";
      expect([at, (await withDevice(email, device.slice(0, at) + other + device.slice(at + 1))).status]).toEqual([
        at,
        429,
      ]);
    }
  });

  test("two devices of an account have a budget each", async () => {
    const { email, client } = await signUp(stand);
    const second = stand.client();
    expect((await signIn(email, password, newIp(), second)).status).toBe(200);
    expect(second.cookie("device_id")).not.toBe(client.cookie("device_id"));
    await times(6, () => signIn(email, wrongPassword, newIp(), client));
    expect((await signIn(email, password, newIp(), client)).status).toBe(429);
    expect((await signIn(email, password, newIp(), second)).status).toBe(200);
  });
});

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

describe("mails to one address", () => {
  test.each([
    ["known", async () => (await signUp(stand)).email],
    ["unknown", () => Promise.resolve(uniqueEmail("nobody"))],
  ])(
    "61 a hundred requests for a new password, %s: three, then the same 429; nothing is locked",
    async (kind, email) => {
      const of = await email();
      const before = await stand.query("select * from users where email = $1", [of]);
      const answers = await times(100, () => stand.client().post(reset, { email: of }, from(newIp())));
      expect(statusesOf(answers).filter((status) => status === 200)).toHaveLength(3);
      expect(said(answers.at(-1)!)).toEqual([429, tooMany]);
      expect(Number(answers.at(-1)?.headers.get("retry-after"))).toBeGreaterThan(3500);
      await resetRequestsFollowedUp(stand);
      const mails = await stand.query("select 1 from mails where address = $1 and kind = 'reset-password'", [of]);
      expect(mails).toHaveLength(kind === "known" ? 3 : 0);
      expect(await stand.query("select * from users where email = $1", [of])).toEqual(before);
      expect((await signIn(of, password)).status).toBe(kind === "known" ? 200 : 401);
    },
    60_000,
  );

  test("requests for new passwords from one network: a hundred an hour", async () => {
    const ip = newIp();
    const answers = await times(101, () => stand.client().post(reset, { email: uniqueEmail("nobody") }, from(ip)));
    expect(statusesOf(answers).filter((status) => status !== 200)).toEqual([429]);
  });

  test("the verification link again: three times; once verified it costs nothing", async () => {
    const { id, client } = await signUp(stand);
    const again = () => client.get("/api/v1/users/current/send-activation/");
    const answers = await times(4, again);
    expect([statusesOf(answers), said(answers[3]!)]).toEqual([
      [200, 200, 200, 429],
      [429, tooMany],
    ]);
    await stand.query("update users set is_email_verified = true where id = $1", [id]);
    expect((await again()).json()["code"]).toBe("email_already_verified");
  });

  test("a change of address: three times an hour, and three confirmations to one address", async () => {
    const target = uniqueEmail("wanted");
    const move = (client: Client, email: string) =>
      client.request("PATCH", current, { body: { email, current_password: password } });
    const { client } = await signUp(stand);
    expect(statusesOf(await times(4, () => move(client, uniqueEmail("moved"))))).toEqual([200, 200, 200, 429]);
    const people = await times(4, () => signUp(stand));
    const answers = await times(4, (nth) => move(people[nth]!.client, target));
    expect(statusesOf(answers)).toEqual([200, 200, 200, 429]);
    expect(await stand.query("select 1 from mails where address = $1", [target])).toHaveLength(3);
    // The profile alone asks for no mail.
    expect((await client.request("PATCH", current, { body: { user_profile: { first_name: "Ewa" } } })).status).toBe(
      200,
    );
  });
});

describe("wrong passwords elsewhere", () => {
  test("6.2.3 current_password: five, then 429, on both routes together; right ones are not counted", async () => {
    const { client } = await signUp(stand);
    const change = (typed: string) =>
      client.post(changePassword, { current_password: typed, new_password: newPassword });
    const move = (typed: string) =>
      client.request("PATCH", current, { body: { email: uniqueEmail(), current_password: typed } });
    const answers = [...(await times(3, () => change(wrongPassword))), ...(await times(2, () => move(wrongPassword)))];
    expect(statusesOf(answers)).toEqual([400, 400, 400, 400, 400]);
    expect(said(await change(password))).toEqual([429, tooMany]);
    expect(said(await move(password))).toEqual([429, tooMany]);
  });

  test("the page that verifies an address: five, then 429 as a page", async () => {
    const { email } = await signUp(stand);
    const link = await mailedLink(stand, "verify", email);
    const guess = (typed: string) => submitForm(stand, link, { password: typed });
    expect(statusesOf(await times(5, () => guess(wrongPassword)))).toEqual([400, 400, 400, 400, 400]);
    const answer = await guess(password);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([429, "text/html; charset=utf-8"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(800);
    expect(answer.text).toContain("Too many requests");
    expect((await signIn(email, password)).status).toBe(429);
  });

  test("a forged verification link is refused before a password is compared or hashed", async () => {
    const { id, email } = await signUp(stand);
    const forged = `/api/v1/users/${encodeUserId(id)}/verify/${randomBytes(48).toString("base64url")}/`;
    for (const form of [{ password }, { password: wrongPassword }, { new_password: newPassword }]) {
      const answer = await submitForm(stand, forged, form);
      expect([answer.status, answer.text.includes("not valid")]).toEqual([400, true]);
    }
    expect(await countsOf(email)).toEqual({});
  });
});

describe("59 guessing tokens", () => {
  const keys = keyRing({ current: "a-secret-key-for-tests-0123456789-abcdef", previous: undefined }, "one-time-token");
  const followers: Record<string, (token: string, ip: string) => Promise<Answer>> = {
    "verify an address": (token, ip) =>
      stand
        .client()
        .get(`/api/v1/users/MQ/verify/${token}/`, { headers: { accept: "application/json", "x-forwarded-for": ip } }),
    "set a new password": (token, ip) =>
      stand.client().post(confirmReset, { token, new_password: newPassword }, from(ip)),
    ...Object.fromEntries(
      ["verify", "confirm-email", "undo-email", "reset-password"].map((kind) => [
        `the page ${kind}`,
        (token: string, ip: string) =>
          stand.client().request("POST", `/api/v1/users/MQ/${kind}/${token}/`, {
            raw: "new_password=seven+bicycles+in+the+rain",
            headers: { "content-type": "application/x-www-form-urlencoded", "x-forwarded-for": ip },
          }),
      ]),
    ),
  };

  test("of a link, on whatever route: a hundred, then 429", async () => {
    const ip = newIp();
    const ways = Object.values(followers);
    const random = () => randomBytes(48).toString("base64url");
    const answers: Answer[] = [];
    for (let nth = 0; nth < 1000; nth += 20) {
      const asked = Array.from({ length: 20 }, (_, index) => ways[(nth + index) % ways.length]!(random(), ip));
      answers.push(...(await Promise.all(asked)));
    }
    const counts = Map.groupBy(statusesOf(answers), (status) => (status === 404 ? 400 : status));
    expect([...counts].map(([status, those]) => [status, those.length])).toEqual([
      [400, 100],
      [429, 900],
    ]);
  }, 60_000);

  test("of a link that we have signed and that nobody has: counts as well", async () => {
    const ip = newIp();
    const { id } = await signUp(stand);
    const token = mintOneTimeToken(keys, "verify-email", randomUUID());
    const link = `/api/v1/users/${encodeUserId(id)}/verify/${token}/`;
    await times(3, () => stand.client().get(link, { headers: { accept: "application/json", "x-forwarded-for": ip } }));
    expect(await countFor("wrong-links-from-ip", ip)).toBe(3);
  });

  test("a good link costs nothing, nor does a password that is too weak", async () => {
    const ip = newIp();
    const { email } = await signUp(stand);
    await stand.client().post(reset, { email }, from(newIp()));
    const token = tokenOf(await mailedLink(stand, "reset-password", email));
    const confirm = (new_password: string) => stand.client().post(confirmReset, { token, new_password }, from(ip));
    expect(statusesOf([await confirm("short"), await confirm(newPassword)])).toEqual([400, 200]);
    expect(await countFor("wrong-links-from-ip", ip)).toBe(0);
  });

  test("of a refresh: a hundred, then 429; a good one from the same network still counts, and asking with none costs nothing", async () => {
    const ip = newIp();
    const { client } = await signUp(stand);
    const exchange = (cookie: string) =>
      stand.client().post("/api/v1/tokens/refresh/", undefined, { headers: { cookie, "x-forwarded-for": ip } });
    expect(statusesOf(await times(5, () => exchange("x=1")))).toEqual([401, 401, 401, 401, 401]);
    const answers = await times(102, () => exchange(`refresh_token=${randomBytes(64).toString("base64url")}`));
    expect(statusesOf(answers).filter((status) => status !== 401)).toEqual([429, 429]);
    expect(said(answers.at(-1)!)).toEqual([429, tooMany]);
    expect((await client.post("/api/v1/tokens/refresh/", undefined, from(ip))).status).toBe(200);
    // One that we made is no guess, even when its session is over.
    const ended = `refresh_token=${client.cookie("refresh_token") ?? ""}`;
    expect((await client.post("/api/v1/tokens/clear/")).status).toBe(200);
    expect(statusesOf(await times(3, () => exchange(ended)))).toEqual([401, 401, 401]);
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
