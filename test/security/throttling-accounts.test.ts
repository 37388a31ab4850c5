import { describe, expect, test } from "@jest/globals";
import { randomBytes } from "node:crypto";
import { encodeUserId } from "../../lib/user-reference.ts";
import { mailedLink, said, setCookiesOf, signUp, submitForm, tokenOf, type Person } from "../contract/accounts.ts";
import type { Answer, Client } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import {
  stand,
  login,
  reset,
  confirmReset,
  current,
  changePassword,
  wrongPassword,
  newPassword,
  tooMany,
  newIp,
  from,
  signIn,
  statusesOf,
  times,
  exhaust,
  sha256,
  countsOf,
  countFor,
  useUp,
  blockPasses,
  startAnother,
} from "./throttled.ts";

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
      // So far beyond 5 that none of the five that may be taken back afterwards opens it again.
      expect(block?.points).toBe(11);
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
    // As dear as in production: at the tests' cost they are hashed as quickly as they come.
    const node = await startAnother({ PASSWORD_HASH_COST: "10" });
    const asked = Array.from({ length: 150 }, () => ({ email: uniqueEmail("flood"), ip: newIp() }));
    const answers = await Promise.all(asked.map(({ email, ip }) => signIn(email, wrongPassword, ip, node.client())));
    await node.stop();
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
    ["another site's", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }, false],
    ["another site's, in a browser without Fetch Metadata", { origin: "null" }, false],
    ["our own", { "sec-fetch-site": "same-origin" }, true],
  ])(
    "32 37 a link of one's own account that %s page posts: is it set in that browser: %s",
    async (_, headers, isSet) => {
      const { email } = await signUp(stand);
      await stand.client().post(reset, { email }, from(newIp()));
      const link = await mailedLink(stand, "reset-password", email);
      const answer = await stand.client().request("POST", link, {
        raw: new URLSearchParams({ new_password: newPassword }).toString(),
        headers: { ...headers, "content-type": "application/x-www-form-urlencoded" },
      });
      expect(answer.status).toBe(200);
      expect(setCookiesOf(answer).map(({ name }) => name)).toEqual(isSet ? ["device_id"] : []);
    },
  );

  test.each([
    ["of another account", async () => (await signUp(stand)).client.cookie("device_id") ?? ""],
    ["random", () => Promise.resolve(randomBytes(32).toString("base64url"))],
    ["empty", () => Promise.resolve("")],
    ["almost as long as headers may be", () => Promise.resolve("A".repeat(7000))],
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

  /** The client has signed in; afterwards its password is another one, and a stranger has used the account's budget up. */
  const waysToANewPassword: [string, (person: Person) => Promise<unknown>][] = [
    [
      "set by a mailed link",
      async ({ email }) => {
        await stand.client().post(reset, { email }, from(newIp()));
        const token = tokenOf(await mailedLink(stand, "reset-password", email));
        return await stand.client().post(confirmReset, { token, new_password: newPassword }, from(newIp()));
      },
    ],
    [
      "changed on another device",
      async ({ email }) => {
        const other = stand.client();
        await signIn(email, password, newIp(), other);
        return await other.post(changePassword, { current_password: password, new_password: newPassword });
      },
    ],
    [
      "set by whoever owns the address and never registered",
      async ({ email }) => submitForm(stand, await mailedLink(stand, "verify", email), { new_password: newPassword }),
    ],
  ];
  test.each(waysToANewPassword)(
    "20 27 32 after a new password, %s, all that were kept are a stranger's",
    async (_, change) => {
      const person = await signUp(stand);
      const { email } = person;
      const kept = [person.client.cookie("device_id") ?? ""];
      for (let nth = 0; nth < 3; nth++) {
        const device = stand.client();
        await signIn(email, password, newIp(), device);
        kept.push(device.cookie("device_id") ?? "");
      }
      expect(await change(person)).toMatchObject({ status: 200 });
      const guesses = kept.flatMap((device) =>
        Array.from({ length: 5 }, () => withDevice(email, device, wrongPassword)),
      );
      const answers = statusesOf(await Promise.all(guesses));
      expect(answers.filter((status) => status === 401)).toHaveLength(5);
      expect(answers.filter((status) => status === 429)).toHaveLength(15);
    },
  );

  const byForm = (owner: Client, link: string) =>
    owner.request("POST", link, {
      raw: new URLSearchParams({ new_password: newPassword }).toString(),
      headers: { "content-type": "application/x-www-form-urlencoded", "x-forwarded-for": newIp() },
    });
  const linksToANewPassword: [string, (owner: Client, person: Person) => Promise<Answer>][] = [
    [
      "of a forgotten one",
      async (owner, { email }) => {
        await stand.client().post(reset, { email }, from(newIp()));
        const token = tokenOf(await mailedLink(stand, "reset-password", email));
        return await owner.post(confirmReset, { token, new_password: newPassword }, from(newIp()));
      },
    ],
    [
      "of a forgotten one, on its page",
      async (owner, { email }) => {
        await stand.client().post(reset, { email }, from(newIp()));
        return await byForm(owner, await mailedLink(stand, "reset-password", email));
      },
    ],
    [
      "of a registration that he did not make",
      async (owner, { email }) => byForm(owner, await mailedLink(stand, "verify", email)),
    ],
    [
      "of a change of address that he did not want",
      async (owner, { email, client }) => {
        await stand.query("update users set is_email_verified = true where email = $1", [email]);
        const body = { email: uniqueEmail("thief"), current_password: password };
        expect((await client.request("PATCH", current, { body })).status).toBe(200);
        return await byForm(owner, await mailedLink(stand, "undo-email", email));
      },
    ],
  ];
  test.each(linksToANewPassword)(
    "32 whoever set a new password by a mailed link, %s, signs in though a stranger goes on",
    async (_, setPassword) => {
      const person = await signUp(stand);
      const { email } = person;
      const owner = stand.client();
      expect((await setPassword(owner, person)).status).toBe(200);
      // That signs nobody in.
      expect([owner.cookie("access_token"), owner.cookie("refresh_token")]).toEqual([undefined, undefined]);
      await exhaust(email);
      expect((await signIn(email, newPassword)).status).toBe(429);
      expect((await signIn(email, newPassword, newIp(), owner)).status).toBe(200);
    },
  );

  test("32 a device stays known when the account's address changes, and is nobody's at the next owner of the old one", async () => {
    const { email, id, client } = await signUp(stand);
    const moved = uniqueEmail("moved");
    await stand.query("update users set email = $2, email_canonical = $2 where id = $1", [id, moved]);
    const next = await stand.client().post("/api/v1/users/customers/", registration({ email }), from(newIp()));
    expect(next.status).toBe(201);
    await exhaust(email);
    await exhaust(moved);
    const device = client.cookie("device_id") ?? "";
    expect([(await withDevice(moved, device)).status, (await withDevice(email, device)).status]).toEqual([200, 429]);
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

  test("the page that confirms a new address: the same budget", async () => {
    const [{ email, client }, to] = [await signUp(stand), uniqueEmail("new")];
    await client.request("PATCH", current, { body: { email: to, current_password: password } });
    const link = await mailedLink(stand, "confirm-email", to);
    const guesses = await times(5, () => submitForm(stand, link, { password: wrongPassword }));
    expect(statusesOf(guesses)).toEqual([400, 400, 400, 400, 400]);
    expect((await submitForm(stand, link, { password })).status).toBe(429);
    expect((await signIn(email, password)).status).toBe(429);
    // His own session needs no password.
    expect((await client.request("POST", link)).status).toBe(200);
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
