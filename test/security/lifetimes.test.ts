import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { patiently, said, setCookiesOf, signUp, type Person } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import type { Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";

/** ASVS 7.1.1, 7.3.1, 7.3.2: how long a session lives. Time passes by making its rows older: PostgreSQL's clock decides. */
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const refresh = (client: Client) => client.post("/api/v1/tokens/refresh/");
const over = [401, { detail: expect.any(String), code: "invalid_token" }];
const pass = ({ id }: Person, time: string) =>
  stand.query(
    `update sessions set created_at = created_at - $2::interval, rotated_at = rotated_at - $2::interval,
       idle_expires_at = idle_expires_at - $2::interval, expires_at = expires_at - $2::interval where user_id = $1`,
    [id, time],
  );
const renewals = async () =>
  (await stand.query("select 1 from sessions where previous_refresh_hash is not null")).length;

describe("7.1.1 7.3.1 a session that is not used for ten days", () => {
  test("a minute before: exchanged. Ten days later: refused, for good, and the cookies open nothing", async () => {
    const person = await signUp(stand);
    const { client } = person;
    await pass(person, "10 days - 1 minute");
    expect((await refresh(client)).status).toBe(200);
    await pass(person, "10 days");
    const before = await renewals();
    for (let nth = 0; nth < 2; nth++) {
      const answer = await refresh(client);
      expect(said(answer)).toEqual(over);
      expect(setCookiesOf(answer).filter(({ value }) => value !== "")).toEqual([]);
    }
    expect(await renewals()).toBe(before);
  });

  test("twice at once when it has just passed: neither is exchanged", async () => {
    const person = await signUp(stand);
    await pass(person, "10 days");
    const answers = await Promise.all([refresh(person.client), refresh(person.client)]);
    expect(answers.map(({ status }) => status)).toEqual([401, 401]);
  });

  test("one that lasts as long as the browser: no longer than that either", async () => {
    const person = await signUp(stand, "CU", { expires_session: true });
    await pass(person, "10 days");
    expect(said(await refresh(person.client))).toEqual(over);
  });

  test("the same account signed in elsewhere does not keep it alive", async () => {
    const person = await signUp(stand);
    await pass(person, "10 days");
    const elsewhere = stand.client();
    const body = { email: person.email, password };
    expect((await patiently(() => elsewhere.post("/api/v1/tokens/", body))).status).toBe(200);
    expect([(await refresh(elsewhere)).status, (await refresh(person.client)).status]).toEqual([200, 401]);
  });
});

describe("7.1.1 7.3.2 a session that is used all the time", () => {
  test("every nine days: 90 days after signing in it is refused, however lately it was used", async () => {
    const person = await signUp(stand);
    for (let day = 9; day < 90; day += 9) {
      await pass(person, "9 days");
      expect([day, (await refresh(person.client)).status]).toEqual([day, 200]);
    }
    await pass(person, "9 days - 1 minute");
    const last = await refresh(person.client);
    expect(last.status).toBe(200);
    // Neither its cookies nor the access token in them outlive it: a minute is left.
    const claims = Buffer.from(person.client.cookie("access_token")?.split(".")[1] ?? "", "base64url").toString();
    const { exp, iat } = JSON.parse(claims) as { exp: number; iat: number };
    expect(exp - iat).toBeLessThanOrEqual(60);
    const ages = setCookiesOf(last).filter(({ name }) => name === "refresh_token" || name === "access_token");
    for (const { name, attributes } of ages.filter(({ value }) => value !== "")) {
      expect([name, Number(attributes["Max-Age"]) <= 60]).toEqual([name, true]);
    }
    await pass(person, "1 minute");
    expect(said(await refresh(person.client))).toEqual(over);
  });

  test("signing in again begins another one; the old one stays over", async () => {
    const person = await signUp(stand);
    await pass(person, "90 days");
    const again = stand.client();
    const body = { email: person.email, password };
    expect((await patiently(() => again.post("/api/v1/tokens/", body))).status).toBe(200);
    expect([(await refresh(person.client)).status, (await refresh(again)).status]).toEqual([401, 200]);
  });
});
