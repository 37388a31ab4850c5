import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { status } from "@grpc/grpc-js";
import {
  bearer,
  mailedLink,
  patiently,
  resetRequestsFollowedUp,
  setCookiesOf,
  signUp,
  submitForm,
  tokenOf,
  type Person,
} from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import type { Answer } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, E: getting an account back. The stories themselves are in test/contract/rest-password.test.ts and rest-current.test.ts. */
let stand: TestStand;
let roles: RolesClient;
beforeAll(async () => {
  stand = await startStand();
  roles = rolesClient(stand.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await stand.stop();
});

const users = "/api/v1/users";
const reset = `${users}/password-reset/`;
const confirmReset = `${users}/password-reset/confirm/`;
const newPassword = "seven bicycles in the rain";

describe("47 a new password", () => {
  const setBy = (token: string) => stand.client().post(confirmReset, { token, new_password: newPassword });
  const current = `${users}/current/`;
  test.each<[string, (person: Person) => Promise<Answer>]>([
    [
      "changed",
      ({ client }) => client.post(`${current}password/`, { current_password: password, new_password: newPassword }),
    ],
    [
      "set by a mailed link",
      async ({ email }) => {
        await stand.client().post(reset, { email });
        return await setBy(tokenOf(await mailedLink(stand, "reset-password", email, 2)));
      },
    ],
  ])("%s: every family of before and every mailed link is dead, at REST and at gRPC", async (_, change) => {
    const person = await signUp(stand);
    const { email, client } = person;
    const other = stand.client();
    expect((await other.post("/api/v1/tokens/", { email, password })).status).toBe(200);
    const [access, refresh] = ["access_token", "refresh_token"].map((name) =>
      [client, other].map((of) => of.cookie(name)),
    );
    await stand.client().post(reset, { email });
    const resetToken = tokenOf(await mailedLink(stand, "reset-password", email));
    const verify = await mailedLink(stand, "verify", email);
    const moved = uniqueEmail("moved");
    const asked = await client.request("PATCH", current, { body: { email: moved, current_password: password } });
    expect(asked.status).toBe(200);
    const confirm = await mailedLink(stand, "confirm-email", moved);

    expect((await change(person)).status).toBe(200);
    for (const token of access ?? []) {
      expect((await stand.client().get(current, bearer(token ?? ""))).status).toBe(401);
      expect(await roles.getUserRole(token ?? "")).toMatchObject({ code: status.UNAUTHENTICATED });
    }
    for (const token of refresh ?? []) {
      const options = { headers: { cookie: `refresh_token=${token ?? ""}` } };
      expect((await stand.client().post("/api/v1/tokens/refresh/", undefined, options)).status).toBe(401);
    }
    expect((await setBy(resetToken)).status).toBe(400);
    expect((await stand.client().get(verify, { headers: { accept: "application/json" } })).status).toBe(400);
    expect((await submitForm(stand, confirm, { password: newPassword })).status).toBe(400);
    expect((await stand.client().post("/api/v1/tokens/", { email, password: newPassword })).status).toBe(200);
  });
});

describe("56 asking for a new password", () => {
  const told = ({ status, headers, text }: Answer) => ({
    status,
    text,
    headers: [...headers].filter(([name]) => !["date", "x-request-id"].includes(name)).toSorted(),
  });

  test("for any address, in any spelling: the same bytes; only who has an account gets mail, and not before the answer", async () => {
    const [known, unverified, inactive] = [
      await signUp(stand, "CU", { verified: true }),
      await signUp(stand),
      await signUp(stand),
    ];
    await stand.query("update users set is_active = false where id = $1", [inactive.id]);
    const spelled = [
      known.email,
      unverified.email,
      inactive.email,
      inactive.email.toUpperCase(),
      uniqueEmail("nobody"),
      ` ${uniqueEmail("nobody")} `,
      `${uniqueEmail("nobody")}.`,
    ];
    const answers = [];
    for (const email of spelled) answers.push(await stand.client().post(reset, { email }));
    expect(answers[0]?.status).toBe(200);
    for (const answer of answers) expect(told(answer)).toEqual(told(answers[0]!));
    await resetRequestsFollowedUp(stand);
    const mailed = await stand.query<{ address: string }>(
      "select address from mails where kind = 'reset-password' and address = any($1)",
      [spelled.map((email) => email.trim().toLowerCase())],
    );
    expect(mailed.map(({ address }) => address).toSorted()).toEqual([known.email, unverified.email].toSorted());
  });
});

describe("57 4.1.3 a mailed link starts with our configured address", () => {
  const own = () => new URL(stand.url).host;
  /** `Host` and the request line are not what fetch would let anybody choose. */
  const send = (path: string, headers: readonly string[], body: object): Promise<string> =>
    new Promise((resolve, reject) => {
      let answer = "";
      const text = JSON.stringify(body);
      const lines = [
        `POST ${path} HTTP/1.1`,
        ...headers,
        "Content-Type: application/json",
        `Content-Length: ${text.length}`,
      ];
      const socket = connect(Number(new URL(stand.url).port), "127.0.0.1", () =>
        socket.write(`${[...lines, "Connection: close"].join("\r\n")}\r\n\r\n${text}`),
      );
      socket.on("data", (part) => (answer += part.toString())).on("close", () => resolve(answer.slice(9, 12)));
      socket.on("error", reject);
    });

  test.each<[string, (path: string) => string, string[]]>([
    ["another host", (path) => path, ["Host: evil.example"]],
    ["a host with user and port", (path) => path, ["Host: id.example.com:80@evil.example:443"]],
    ["a host with a path", (path) => path, ["Host: evil.example/x?"]],
    ["markup for a host", (path) => path, ['Host: "><a href=//evil.example>']],
    ["an absolute request line", (path) => `http://evil.example${path}`, ["Host: evil.example"]],
    ["an absolute one to somewhere else", (path) => `https://user:pw@evil.example:8443${path}`, ["Host: x"]],
    [
      "what proxies add",
      (path) => path,
      ["Host: x", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1"],
    ],
    [
      "what others add",
      (path) => path,
      [
        "Host: x",
        "Forwarded: host=evil.example;proto=https",
        "X-Original-URL: //evil.example",
        "X-Rewrite-URL: //evil.example",
        "X-Host: evil.example",
        "X-Forwarded-Server: evil.example",
        "X-HTTP-Host-Override: evil.example",
      ],
    ],
  ])("%s", async (_, path, headers) => {
    const { email } = await signUp(stand);
    const body = registration();
    expect(await send(path(`${users}/customers/`), headers, body)).toBe("201");
    expect(await send(path(reset), headers, { email })).toBe("200");
    const mails = [await stand.mailTo(body.email), await stand.mailTo(email, 2)];
    for (const { text, html } of mails) {
      expect(`${text}${html}`).not.toContain("evil.example");
      const links = [...text.matchAll(/https?:\/\/([^/\s]+)/g)].map(([, host]) => host);
      expect([links.length > 0, new Set(links)]).toEqual([true, new Set([own()])]);
    }
  });
});

describe("58 3.7.2 4.1.2 nothing leads anywhere else", () => {
  const elsewhere = [
    "//evil.example",
    "/\\evil.example",
    "/..//evil.example",
    "https:evil.example",
    "https://a@evil.example",
    "%2f%2fevil.example",
    "javascript:alert(1)",
    "https://evil.example%0d%0aSet-Cookie:x=y",
  ];
  test.each(elsewhere)("return_to and its sisters: %s", async (target) => {
    const { client, email } = await signUp(stand);
    const link = await mailedLink(stand, "verify", email);
    const query = `?return_to=${target}&next=${target}&callbackURL=${target}&redirect_uri=${target}&url=${target}`;
    const answers = [
      await client.get(`${users}/current/${query}`),
      await client.get(link + query),
      await stand.client().post(`/api/v1/tokens/${query}`, { email, password, return_to: target, next: target }),
      await stand.client().post(reset + query, { email, callbackURL: target }),
      await stand.client().get(`/${target}`),
      await stand.client().get(`//evil.example/%2e%2e`),
    ];
    for (const answer of answers) {
      expect([
        answer.status >= 300 && answer.status < 400,
        answer.headers.get("location"),
        answer.headers.get("refresh"),
      ]).toEqual([false, null, null]);
      expect(answer.text).not.toContain("evil.example");
    }
    await resetRequestsFollowedUp(stand);
    for (const { text, html } of (await stand.mails()).filter(({ to }) => to.includes(email))) {
      expect(`${text}${html}`).not.toContain("evil.example");
    }
  });
});

describe("64 2.3.1 steps that were not taken", () => {
  test("a new password without having asked, or for the account of somebody else: refused", async () => {
    const [one, other] = [await signUp(stand), await signUp(stand)];
    await stand.client().post(reset, { email: one.email });
    const token = tokenOf(await mailedLink(stand, "reset-password", one.email));
    const bodies = [
      { new_password: newPassword },
      { token: "", new_password: newPassword },
      { token: tokenOf(await mailedLink(stand, "verify", one.email)), new_password: newPassword },
    ];
    for (const body of bodies) expect((await stand.client().post(confirmReset, body)).status).toBe(400);
    // What the body says of an account does not count: the token alone knows whose it is.
    const body = { token, new_password: newPassword, email: other.email, user_id: other.id };
    const answer = await stand.client().post(confirmReset, body);
    // The device is known from now on; that signs nobody in.
    expect([answer.status, setCookiesOf(answer).map(({ name }) => name)]).toEqual([200, ["device_id"]]);
    const signIn = (email: string, typed: string) =>
      patiently(() => stand.client().post("/api/v1/tokens/", { email, password: typed }));
    expect((await signIn(other.email, newPassword)).status).toBe(401);
    expect((await signIn(other.email, password)).status).toBe(200);
    expect((await signIn(one.email, newPassword)).status).toBe(200);
  });

  test("6.5.1 the same link 20 times at once: one new password", async () => {
    const { email } = await signUp(stand);
    await stand.client().post(reset, { email });
    const token = tokenOf(await mailedLink(stand, "reset-password", email));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, nth) =>
        patiently(() => stand.client().post(confirmReset, { token, new_password: `${newPassword} ${nth}` })),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(19);
  });
});

test("63 7.5.1 a moderator's own address, by the route for others': refused, so that his cookie alone keeps nobody the account", async () => {
  const { id, client, email } = await signUp(stand, "MO");
  const before = await client.get(`${users}/current/`);
  const profile = before.json();
  for (const [method, body] of [
    ["PATCH", { email: uniqueEmail("thief") }],
    ["PATCH", { email: uniqueEmail("thief"), role: "MO", user_profile: { first_name: "Ewa" } }],
    ["PUT", { ...profile, email: uniqueEmail("thief") }],
  ] as const) {
    const answer = await client.request(method, `${users}/${id}/`, { body });
    expect([answer.status, Object.keys(answer.json())]).toEqual([400, ["email"]]);
  }
  expect((await client.get(`${users}/current/`)).json()).toEqual(profile);
  // The full view sent back is no change of it, in whatever spelling: links by which he takes one back go on working.
  await client.request("PATCH", `${users}/current/`, {
    body: { email: uniqueEmail("thief"), current_password: password },
  });
  for (const same of [email, email.toUpperCase()])
    expect((await client.request("PUT", `${users}/${id}/`, { body: { ...profile, email: same } })).status).toBe(200);
  const alive = "select purpose from one_time_tokens where user_id = $1 and ended_at is null order by purpose";
  expect(await stand.query(alive, [id])).toEqual(
    ["confirm-email", "undo-email", "verify-email"].map((purpose) => ({ purpose })),
  );
  expect(await stand.query("select email from users where id = $1", [id])).toEqual([{ email }]);
});

test("63 2.2.3 the address that one has already, in whatever spelling, and a password like the old one: no mail, nothing waits", async () => {
  const { client, email } = await signUp(stand);
  for (const same of [email, email.toUpperCase(), ` ${email}`, `${email}.`]) {
    const answer = await client.request("PATCH", `${users}/current/`, { body: { email: same } });
    expect([answer.status, answer.json()["pending_email"]]).toEqual([200, null]);
  }
  await stand.mailTo(email);
  const [row] = await stand.query<{ n: number }>("select count(*)::int as n from mails where address = $1", [email]);
  expect(row?.n).toBe(1);
  expect((await client.request("PATCH", `${users}/current/`, { body: { email: uniqueEmail("new") } })).status).toBe(
    400,
  );
});
