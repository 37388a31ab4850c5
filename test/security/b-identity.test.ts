import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  bearer,
  mailedLink,
  patiently,
  resetRequestsFollowedUp,
  said,
  signUp,
  submitForm,
  tokenOf,
  type Person,
} from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import { eventually } from "../support/eventually.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { rolesClient } from "../support/roles-client.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, B: whose address it is. */
let stand: TestStand;
let moderator: Person;
beforeAll(async () => {
  stand = await startStand();
  moderator = await signUp(stand, "MO");
});
afterAll(() => stand.stop());

const users = "/api/v1/users";
const login = "/api/v1/tokens/";
const reset = `${users}/password-reset/`;
const confirmReset = `${users}/password-reset/confirm/`;
const newPassword = "seven bicycles in the rain";
const signIn = (email: string, typed: string) => stand.client().post(login, { email, password: typed });
const asJson = { headers: { accept: "application/json" } };

describe("14 15 registering an address that has an account", () => {
  const taken = [400, { email: ["user with this email already exists."] }];
  test.each<[string, (email: string) => string]>([
    ["as it is", (email) => email],
    ["in capitals", (email) => email.toUpperCase()],
    ["with spaces around it", (email) => `  ${email}\t`],
    ["with a dot at the end", (email) => `${email}.`],
    ["with a capital in the domain", (email) => email.replace("@example", "@Example")],
  ])(
    "%s, on every route: the one answer of the old contract, no session, no mail, nothing changed",
    async (_, spelled) => {
      const { email, id } = await signUp(stand, "CU", { email: uniqueEmail("kate") });
      const before = await stand.query("select * from users where id = $1", [id]);
      const typed = spelled(email);
      for (const route of ["customers", "couriers", "managers"]) {
        const answer = await stand.client().post(`${users}/${route}/`, registration({ email: typed }));
        expect(said(answer)).toEqual(taken);
        expect(answer.headers.getSetCookie()).toEqual([]);
      }
      const byModerator = await moderator.client.post(`${users}/moderators/`, registration({ email: typed }));
      expect(said(byModerator)).toEqual(taken);
      expect(await stand.query("select * from users where id = $1", [id])).toEqual(before);
      expect(await stand.query("select kind from mails where user_id = $1", [id])).toEqual([{ kind: "verify-email" }]);
      expect(await stand.query("select 1 from users where email_canonical = $1", [email])).toHaveLength(1);
    },
  );
});

test("21 before verification: signed in and on one's own pages, and no other service takes the role for granted", async () => {
  const { email, client, token, id } = await signUp(stand);
  expect((await signIn(email, password)).status).toBe(200);
  expect((await client.get(`${users}/current/`)).status).toBe(200);
  await stand.query("update users set role = 'MO' where id = $1", [id]);
  expect((await client.get(`${users}/`)).status).toBe(403);
  const roles = rolesClient(stand.grpcAddress);
  try {
    expect(await roles.getUserRole(token)).toEqual({ code: 16, details: "User has got unverified email" });
  } finally {
    roles.close();
  }
});

describe("18 1.3.11 what some mail programs read as another address", () => {
  const evil = "evil@example.org";
  const spelled = (known: string): Record<string, string> => ({
    "two addresses": `${known},${evil}`,
    "two with a semicolon": `${known};${evil}`,
    "a quoted local part": `"e@attacker.example"@example.com`,
    "angle brackets": `<${evil}> ${known}`,
    "a display name": `Anna <${known}>`,
    "a group": `group: ${known}, ${evil};`,
    "a comment": known.replace("@", "(c)@"),
    "a header": `${known}\r\nBcc: ${evil}`,
    "a folded header": `${known}\r\n\tBcc: ${evil}`,
    "a NUL": `${known}\u0000`,
    "a route": `@example.org:${known}`,
    "a literal": "anna@[127.0.0.1]",
    "a look-alike at": known.replace("@", "\uff20"),
  });

  test.each(Object.keys(spelled("a@b.co")))(
    "%s: refused wherever an address is set, and nobody gets a mail",
    async (how) => {
      const person = await signUp(stand);
      const email = spelled(person.email)[how] ?? "";
      const mails = () => stand.query("select 1 from mails");
      await resetRequestsFollowedUp(stand);
      const before = (await mails()).length;
      const own = { email, current_password: password };
      const asked = [
        ...["customers", "couriers", "managers"].map((path) =>
          stand.client().post(`${users}/${path}/`, registration({ email })),
        ),
        moderator.client.post(`${users}/moderators/`, registration({ email })),
        moderator.client.request("PATCH", `${users}/${person.id}/`, { body: { email } }),
        person.client.request("PATCH", `${users}/current/`, { body: own }),
        person.client.request("PUT", `${users}/current/`, {
          body: { ...own, user_profile: registration().user_profile },
        }),
      ];
      for (const answer of await Promise.all(asked)) {
        expect([answer.status, Object.keys(answer.json())]).toEqual([400, ["email"]]);
        expect(answer.text).not.toContain("evil");
      }
      expect((await stand.client().post(reset, { email })).status).toBeLessThan(500);
      expect((await patiently(() => signIn(email, password))).status).toBe(401);
      await resetRequestsFollowedUp(stand);
      expect((await mails()).length).toBe(before);
      expect((await stand.mails()).filter(({ to }) => to.some((address) => address.includes("evil")))).toEqual([]);
    },
  );
});

describe("16 a letter that lower case turns into another", () => {
  test.each([
    ["the Kelvin sign", (name: string) => name.replace("k", "\u212a")],
    ["a dotless i", (name: string) => name.replace("i", "\u0131")],
    ["a dotted I", (name: string) => name.replace("i", "\u0130")],
    ["a full-width letter", (name: string) => name.replace("k", "\uff4b")],
    ["a Cyrillic one", (name: string) => name.replace("a", "\u0430")],
  ])("%s: nobody else's account, and no mail to where it was typed", async (_, change) => {
    const email = uniqueEmail("kati");
    await signUp(stand, "CU", { email });
    const typed = change(email);
    expect(typed).not.toBe(email);
    const again = await stand.client().post(`${users}/customers/`, registration({ email: typed }));
    expect([again.status, Object.keys(again.json())]).toEqual([400, ["email"]]);
    expect((await patiently(() => signIn(typed, password))).status).toBe(401);
    await stand.client().post(reset, { email: typed });
    await resetRequestsFollowedUp(stand);
    expect(
      await stand.query("select 1 from mails where kind = 'reset-password' and address = any($1)", [[typed, email]]),
    ).toEqual([]);
  });
});

test("19 2.3.4 50 registrations of one address at once: one account, one event, one mail, and nobody gets a 500", async () => {
  const email = uniqueEmail("fifty");
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, nth) =>
      patiently(() =>
        stand
          .client()
          .post(`${users}/customers/`, registration({ email: nth % 2 ? email : ` ${email.toUpperCase()}.` })),
      ),
    ),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  for (const answer of answers.filter(({ status }) => status !== 201)) {
    expect(said(answer)).toEqual([400, { email: ["user with this email already exists."] }]);
  }
  const of = "from users where email_canonical = $1";
  expect(await stand.query(`select 1 ${of}`, [email])).toHaveLength(1);
  expect(await stand.query(`select type from outbox where user_id = (select id ${of})`, [email])).toEqual([
    { type: "user.registered" },
  ]);
  expect(await stand.query(`select 1 from mails where user_id = (select id ${of})`, [email])).toHaveLength(1);
});

describe("20 somebody registers another person's address first", () => {
  const dead = async ({ client, token }: Person) => {
    expect((await stand.client().get(`${users}/current/`, bearer(token))).status).toBe(401);
    expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(401);
  };

  test("its owner asks for a new password: the stranger's password, session and links are dead", async () => {
    const stranger = await signUp(stand, "CU", { email: uniqueEmail("victim") });
    const verify = await mailedLink(stand, "verify", stranger.email);
    await stand.client().post(reset, { email: stranger.email });
    const token = tokenOf(await mailedLink(stand, "reset-password", stranger.email));
    expect((await stand.client().post(confirmReset, { token, new_password: newPassword })).status).toBe(200);
    await dead(stranger);
    expect((await patiently(() => signIn(stranger.email, password))).status).toBe(401);
    expect((await stand.client().get(verify, asJson)).status).toBe(400);
    expect((await patiently(() => signIn(stranger.email, newPassword))).status).toBe(200);
  });

  test("its owner follows the verification link and says that it was not he: the same", async () => {
    const stranger = await signUp(stand, "CU", { email: uniqueEmail("victim") });
    const verify = await mailedLink(stand, "verify", stranger.email);
    expect((await submitForm(stand, verify, { new_password: newPassword })).status).toBe(200);
    await dead(stranger);
    expect((await patiently(() => signIn(stranger.email, password))).status).toBe(401);
    expect((await patiently(() => signIn(stranger.email, newPassword))).status).toBe(200);
  });

  test("he asks that his own account takes her address: a button is not enough, so his password never becomes hers", async () => {
    const [stranger, hers] = [await signUp(stand), uniqueEmail("victim")];
    await stranger.client.request("PATCH", `${users}/current/`, { body: { email: hers, current_password: password } });
    const confirm = await mailedLink(stand, "confirm-email", hers);
    for (const form of [{}, { new_password: newPassword }, { password: newPassword }])
      expect((await submitForm(stand, confirm, form)).status).toBe(400);
    expect(await stand.query("select 1 from users where email_canonical = $1", [hers])).toEqual([]);
    expect((await stand.client().post(`${users}/customers/`, registration({ email: hers }))).status).toBe(201);
  });

  test("the stranger has a change to his own address waiting: his link is dead as well", async () => {
    const stranger = await signUp(stand, "CU", { email: uniqueEmail("victim") });
    const his = uniqueEmail("stranger");
    await stranger.client.request("PATCH", `${users}/current/`, { body: { email: his, current_password: password } });
    const confirm = await mailedLink(stand, "confirm-email", his);
    const verify = await mailedLink(stand, "verify", stranger.email);
    await submitForm(stand, verify, { new_password: newPassword });
    expect((await submitForm(stand, confirm, { password: newPassword })).status).toBe(400);
    expect((await patiently(() => signIn(stranger.email, newPassword))).status).toBe(200);
  });
});

test("22 HEAD, OPTIONS, a prefetch, a scanner and a browser open a verification link: only the form's POST verifies, once", async () => {
  const { id, email } = await signUp(stand);
  const link = await mailedLink(stand, "verify", email);
  const isVerified = async () =>
    (await stand.query("select 1 from users where id = $1 and is_email_verified", [id])).length === 1;
  const opened = [
    await stand.client().request("HEAD", link, asJson),
    await stand.client().request("OPTIONS", link, asJson),
    await stand.client().get(link, { headers: { accept: "text/html,application/json", purpose: "prefetch" } }),
    await stand.client().get(link, { headers: { accept: "application/json, */*", "sec-purpose": "prefetch" } }),
    await stand.client().get(link, { headers: { accept: "*/*" } }),
  ];
  expect([opened.map(({ status }) => status), await isVerified()]).toEqual([[405, 204, 200, 200, 200], false]);
  const posted = await Promise.all([1, 2, 3].map(() => submitForm(stand, link, { password })));
  expect(posted.map(({ status }) => status).toSorted()).toEqual([200, 400, 400]);
  expect(await isVerified()).toBe(true);
});

describe("23 6.2.4 6.2.11 a password that everybody would try: refused wherever one is set, and never repeated", () => {
  test.each([
    ["the address", (email: string) => email],
    ["its name", (email: string) => `${email.split("@")[0] ?? ""}1`],
    ["the company", () => "EatExpress1"],
    ["one of the most common", () => "password123"],
    ["digits in a row", () => "123456789"],
    ["keys in a row", () => "qwertyuiop"],
    ["seven characters", () => "aB3$xY9"],
  ])("%s", async (_, typed) => {
    const person = await signUp(stand);
    const weak = typed(person.email);
    await stand.client().post(reset, { email: person.email });
    const token = tokenOf(await mailedLink(stand, "reset-password", person.email));
    const address = uniqueEmail("weak");
    const registering = registration({ email: address, password: typed(address) });
    const answers = [
      await stand.client().post(`${users}/customers/`, registering),
      await person.client.post(`${users}/current/password/`, { current_password: password, new_password: weak }),
      await stand.client().post(confirmReset, { token, new_password: weak }),
    ];
    const fields = ["password", "new_password", "new_password"];
    for (const [nth, answer] of answers.entries()) {
      expect([answer.status, Object.keys(answer.json())]).toEqual([400, [fields[nth]]]);
      expect(answer.text).not.toContain(weak);
    }
  });
});

test("24 1.2.1 1.3.7 markup, links and template words in a name: told as text, and nothing else can be clicked", async () => {
  const first_name = `<a href="https://evil.example/x">click</a><%= 777*777 %>{{777*777}}`;
  const body = registration({ user_profile: { ...registration().user_profile, first_name } });
  expect((await stand.client().post(`${users}/customers/`, body)).status).toBe(201);
  const mail = await eventually("the mail", async () =>
    (await stand.mails()).find(({ to }) => to.includes(body.email)),
  );
  const links = [...mail.html.matchAll(/href="([^"]*)"/g)].map(([, url]) => url ?? "");
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((url) => !url.startsWith(stand.url))).toEqual([]);
  expect(mail.html).not.toMatch(/<a href="https:\/\/evil|603729/);
  expect(mail.to).toEqual([body.email]);
});
