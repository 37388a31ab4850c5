import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { patiently, setCookiesOf, signUp } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import type { Answer, Client } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, C: signing in. What is counted and blocked (27 to 34) is in throttling.test.ts. */
let stand: TestStand;
beforeAll(async () => {
  // As in production: a hash takes so long that its absence shows.
  stand = await startStand({ PASSWORD_HASH_COST: "10" });
});
afterAll(() => stand.stop());

const login = "/api/v1/tokens/";
const users = "/api/v1/users";
const signIn = (email: string, typed: string) =>
  patiently(() => stand.client().post(login, { email, password: typed }));
const told = ({ status, headers, text }: Answer) => ({
  status,
  text,
  headers: [...headers].filter(([name]) => !["date", "x-request-id"].includes(name)).toSorted(),
});

test("25 wrong password, unknown, inactive, unverified, staff, an imported hash that nobody can use: the same bytes and headers", async () => {
  const people = await Promise.all(Array.from({ length: 5 }, () => signUp(stand)));
  const [plain, inactive, staff, verified, broken] = people.map(({ email }) => email);
  await stand.query("update users set is_active = false where email = $1", [inactive]);
  await stand.query("update users set is_staff = true where email = $1", [staff]);
  await stand.query("update users set is_email_verified = true where email = $1", [verified]);
  await stand.query("update users set password_hash = '!unusable' where email = $1", [broken]);
  const wrong = "wrong horse battery";
  const answers = [
    await signIn(plain ?? "", wrong),
    await signIn(uniqueEmail("nobody"), password),
    await signIn(inactive ?? "", password),
    await signIn(inactive ?? "", wrong),
    await signIn(staff ?? "", wrong),
    await signIn(verified ?? "", wrong),
    await signIn(broken ?? "", password),
    await signIn("no address at all", password),
    await signIn("", password).then((answer) => (answer.status === 400 ? signIn("x", password) : answer)),
  ];
  expect(told(answers[0]!).status).toBe(401);
  for (const answer of answers) expect(told(answer)).toEqual(told(answers[0]!));
});

describe("35 6.2.8 6.2.9 a password counts to its last byte", () => {
  const long = "a".repeat(71);
  test.each([
    ["the 73rd byte", `${long}bcd`, `${long}bXd`],
    ["what comes after 72 bytes", `${long}b`, `${long}bc`],
    ["the last of 128 characters", `${"long enough ".repeat(10)}12345678`, `${"long enough ".repeat(10)}12345679`],
    [
      "the last of 64 characters of four bytes",
      "🐎".repeat(32) + "🔋".repeat(32),
      "🐎".repeat(32) + "🔋".repeat(31) + "🐎",
    ],
    ["a space at the end", "correct horse battery ", "correct horse battery"],
    ["a space before", " correct horse battery", "correct horse battery"],
    ["one capital letter", "Correct horse battery", "correct horse battery"],
    ["what follows a NUL", "correct horse\u0000 battery", "correct horse\u0000 batterz"],
  ])("%s", async (_, right, wrong) => {
    const { email } = await signUp(stand, "CU", { password: right });
    const answers = [await signIn(email, wrong), await signIn(email, right)];
    expect(answers.map(({ status }) => status)).toEqual([401, 200]);
  });

  const next = "seven bicycles in the rain";
  /** Wherever a password is typed: how it is sent, and the field that is told about. */
  const typed: Record<string, [field: string, (client: Client, text: string) => Promise<Answer>]> = {
    "signing in": ["password", (client, text) => client.post(login, { email: uniqueEmail("x"), password: text })],
    registering: ["password", (client, text) => client.post(`${users}/customers/`, registration({ password: text }))],
    "a new password, the old one": [
      "current_password",
      (client, text) => client.post(`${users}/current/password/`, { current_password: text, new_password: next }),
    ],
    "a new password, the new one": [
      "new_password",
      (client, text) => client.post(`${users}/current/password/`, { current_password: password, new_password: text }),
    ],
    "another address": [
      "current_password",
      (client, text) =>
        client.request("PATCH", `${users}/current/`, { body: { email: uniqueEmail("x"), current_password: text } }),
    ],
    "a mailed link": [
      "new_password",
      (client, text) => client.post(`${users}/password-reset/confirm/`, { token: "A".repeat(64), new_password: text }),
    ],
  };
  const median = (times: readonly number[]) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  async function timed(ask: () => Promise<Answer>): Promise<Answer & { ms: number }> {
    const began = performance.now();
    const answer = await ask();
    return { ...answer, ms: performance.now() - began };
  }

  test.each(Object.keys(typed))(
    "%s with one that is too long for anybody: refused before it is hashed",
    async (where) => {
      const { client, email } = await signUp(stand);
      const [field, send] = typed[where]!;
      const [hashed, refused]: [number[], number[]] = [[], []];
      // In turns: what else the machine does slows both down.
      for (let round = 0; round < 7; round++) {
        const one = await timed(() => signIn(email, "wrong horse battery"));
        const other = await timed(() => send(client, "x".repeat(round % 2 === 0 ? 513 : 15_000)));
        expect([one.status, other.status, Object.keys(other.json())]).toEqual([401, 400, [field]]);
        hashed.push(one.ms);
        refused.push(other.ms);
      }
      expect({ hashed, refused, muchSooner: median(refused) < median(hashed) / 2 }).toMatchObject({ muchSooner: true });
      for (const length of [200_000, 1_000_000]) {
        expect((await send(client, "x".repeat(length))).status).toBe(413);
      }
    },
  );
});

describe("37 3.5.1 a page of somebody else signs a browser in, or out", () => {
  const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
  test.each([
    ["a form", "application/x-www-form-urlencoded", "email=EMAIL&password=PASSWORD"],
    ["a form whose one field reads as JSON", "text/plain", '{"email":"EMAIL","password":"PASSWORD","x":"="}'],
    [
      "a form with a file",
      "multipart/form-data; boundary=x",
      '--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nEMAIL\r\n--x--\r\n',
    ],
    ["JSON", "application/json", '{"email":"EMAIL","password":"PASSWORD"}'],
    ["JSON by another name", "application/json-patch+json", '{"email":"EMAIL","password":"PASSWORD"}'],
    ["no type", "", '{"email":"EMAIL","password":"PASSWORD"}'],
  ])("%s: refused, and no cookie is set", async (_, type, text) => {
    const attacker = await signUp(stand);
    const raw = text.replace("EMAIL", attacker.email).replace("PASSWORD", password);
    for (const from of [foreign, { "sec-fetch-site": "cross-site" }, { origin: "null" }]) {
      const answer = await stand.client().request("POST", login, { raw, headers: { ...from, "content-type": type } });
      expect([answer.status, setCookiesOf(answer)]).toEqual([403, []]);
    }
    // A browser that is too old to say where it comes from cannot send JSON across sites without asking first.
    if (type === "application/json") return;
    const silent = await stand.client().request("POST", login, { raw, headers: { "content-type": type } });
    expect([silent.status, setCookiesOf(silent)]).toEqual([415, []]);
  });
});
