import { describe, expect, test } from "@jest/globals";
import { randomBytes, randomUUID } from "node:crypto";
import { encodeUserId } from "../../lib/user-reference.ts";
import { keyRing } from "../../lib/keys.ts";
import { mintOneTimeToken } from "../../lib/one-time-token.ts";
import { mailedLink, resetRequestsFollowedUp, said, signUp, tokenOf } from "../contract/accounts.ts";
import type { Answer, Client } from "../support/client.ts";
import { password, uniqueEmail } from "../support/people.ts";
import {
  stand,
  reset,
  confirmReset,
  changePassword,
  current,
  newPassword,
  tooMany,
  newIp,
  from,
  signIn,
  statusesOf,
  times,
  countFor,
} from "./throttled.ts";

const renew = "/api/v1/tokens/refresh/";

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

  test("61 a hundred requests at once for one address: three, one mail each, and no link is left but the last", async () => {
    const { email } = await signUp(stand);
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => stand.client().post(reset, { email }, from(newIp()))),
    );
    expect(statusesOf(answers).filter((status) => status === 200)).toHaveLength(3);
    expect(statusesOf(answers).filter((status) => status === 429)).toHaveLength(97);
    await resetRequestsFollowedUp(stand);
    const mails = await stand.query("select 1 from mails where address = $1 and kind = 'reset-password'", [email]);
    expect(mails.length).toBeGreaterThan(0);
    expect(mails.length).toBeLessThanOrEqual(3);
    expect((await signIn(email, password)).status).toBe(200);
  });

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

  test("61 new passwords of one account: three an hour, each of which its address is told of", async () => {
    const { id, client } = await signUp(stand);
    const words = [
      password,
      newPassword,
      "eight tricycles in the sun",
      "nine unicycles in the fog",
      "ten boats at sea",
    ];
    const answers = await times(4, (nth) =>
      client.post(changePassword, { current_password: words[nth], new_password: words[nth + 1] }),
    );
    expect(statusesOf(answers)).toEqual([200, 200, 200, 429]);
    expect(
      await stand.query("select 1 from mails where user_id = $1 and kind = 'password-changed'", [id]),
    ).toHaveLength(3);
  });

  test("61 five stolen sessions of one account: three mails, and five lines in the audit log", async () => {
    const { id, email } = await signUp(stand);
    await times(5, async () => {
      const client = stand.client();
      await signIn(email, password, newIp(), client);
      const stolen = `refresh_token=${client.cookie("refresh_token") ?? ""}`;
      expect(statusesOf(await times(2, () => client.post(renew)))).toEqual([200, 200]);
      expect((await stand.client().post(renew, undefined, { headers: { cookie: stolen } })).status).toBe(401);
    });
    expect(await stand.query("select 1 from mails where user_id = $1 and kind = 'session-reuse'", [id])).toHaveLength(
      3,
    );
    const lines = "select 1 from audit_log where subject_id = $1 and event = 'authn_token_reuse'";
    expect(await stand.query(lines, [id])).toHaveLength(5);
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
