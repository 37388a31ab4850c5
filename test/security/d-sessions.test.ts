import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { bearer, setCookiesOf, signUp, type Person } from "../contract/accounts.ts";
import { Client, type Answer } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { startNodes, type TestNode } from "../support/nodes.ts";
import { password, registration } from "../support/people.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** SECURITY.md, D: sessions and how they end, at every door of two nodes on one database that hear nothing of each other. */
let stand: TestStand;
let nodes: TestNode[];
let moderator: Person;
const at = (node: TestNode) => ({ ...stand, url: node.url, client: () => new Client(node.url) });
const one = () => at(nodes[0]!);
beforeAll(async () => {
  stand = await createStand();
  nodes = await startNodes(2, { ...stand.env, TRANSPORTER: "" });
  moderator = await signUp(one(), "MO");
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
  await stand.stop();
});

const [login, refresh, clear] = ["/api/v1/tokens/", "/api/v1/tokens/refresh/", "/api/v1/tokens/clear/"];
const users = "/api/v1/users";
const current = `${users}/current/`;
const newPassword = "seven bicycles in the rain";
const cookie = (text: string) => ({ headers: { cookie: text } });
const exchange = (token: string, client = one().client()) =>
  client.post(refresh, undefined, cookie(`refresh_token=${token}`));
const refreshTokenOf = (client: Client) => client.cookie("refresh_token") ?? "";
const signIn = async (email: string, typed = password) => {
  const client = one().client();
  expect((await client.post(login, { email, password: typed })).status).toBe(200);
  return client;
};
const moderate = (id: number, body: object) =>
  moderator.client.request("PATCH", `${users}/${id}/`, { body }).then(({ status }) => expect(status).toBe(200));

interface Tokens {
  readonly access: string;
  readonly refresh: string;
}
const tokensOf = (client: Client): Tokens => ({
  access: client.cookie("access_token") ?? "",
  refresh: refreshTokenOf(client),
});
/** What each door of a node makes of them: REST by bearer and by cookie, the exchange, gRPC. */
async function doors({ access, refresh }: Tokens, node = nodes[0]!): Promise<unknown[]> {
  const answers = [
    await at(node).client().get(current, bearer(access)),
    await at(node)
      .client()
      .get(current, cookie(`access_token=${access}`)),
    await exchange(refresh, at(node).client()),
  ];
  const role = await node.roles.getUserRole(access);
  return [...answers.map(({ status }) => status), "code" in role ? role.code : role.role];
}
const shut = [401, 401, 401, status.UNAUTHENTICATED];

describe("43 an old refresh token", () => {
  test.each([
    ["alone", (token: string) => `refresh_token=${token}`],
    ["before the one that counts", (token: string, last: string) => `refresh_token=${token}; refresh_token=${last}`],
  ])("%s, twice at once: refused, its family is dead at every door, told once; other sessions live", async (_, of) => {
    const { id, email, client } = await signUp(one(), "CU", { verified: true });
    const first = refreshTokenOf(client);
    const other = await signIn(email);
    for (let nth = 0; nth < 2; nth++) expect((await client.post(refresh)).status).toBe(200);
    const last = tokensOf(client);
    const again = () =>
      one()
        .client()
        .post(refresh, undefined, cookie(of(first, last.refresh)));
    for (const answer of await Promise.all([again(), again()])) {
      expect([answer.status, setCookiesOf(answer)]).toEqual([401, []]);
    }
    expect(await doors(last)).toEqual(shut);
    const told = await stand.query(
      "select outcome from audit_log where event = 'authn_token_reuse' and subject_id = $1",
      [id],
    );
    expect(told).toEqual([{ outcome: "refused" }]);
    expect((await other.get(current)).status).toBe(200);
  });
});

test("44 a lost answer, asked for again by 16 at once: one successor and no second branch", async () => {
  const { id, client } = await signUp(one());
  const first = refreshTokenOf(client);
  const clients = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const own = one().client();
      expect((await exchange(first, own)).status).toBe(200);
      return own;
    }),
  );
  const successors = new Set(clients.map(refreshTokenOf));
  expect(successors.size).toBe(1);
  expect(await stand.query("select 1 from sessions where user_id = $1", [id])).toHaveLength(1);
  expect((await exchange([...successors][0] ?? "")).status).toBe(200);
  expect((await exchange(first)).status).toBe(401);
});

describe("46 signing out", () => {
  test.each([
    ["with the cookies", ({ access, refresh }: Tokens) => cookie(`access_token=${access}; refresh_token=${refresh}`)],
    ["with the access token alone", ({ access }: Tokens) => bearer(access)],
    ["with the refresh token alone", ({ refresh }: Tokens) => cookie(`refresh_token=${refresh}`)],
  ])("%s, twice at once: replayed tokens are refused at every door", async (_, by) => {
    const { client } = await signUp(one(), "CU", { verified: true });
    const tokens = tokensOf(client);
    const out = () => one().client().post(clear, undefined, by(tokens));
    expect((await Promise.all([out(), out()])).map(({ status }) => status)).toEqual([200, 200]);
    expect(await doors(tokens)).toEqual(shut);
  });
});

describe("48 a deactivated account", () => {
  test("is refused at once at every door of the node, and within 5 s on one that heard nothing of it", async () => {
    const { id, client } = await signUp(one(), "CU", { verified: true });
    const tokens = tokensOf(client);
    const [, other] = nodes;
    // Known to both: whatever they remember is old then.
    expect(await other!.roles.getUserRole(tokens.access)).toMatchObject({ user_id: String(id) });
    expect((await one().client().get(current, bearer(tokens.access))).status).toBe(200);
    await moderate(id, { is_active: false });
    expect(await doors(tokens)).toEqual(shut);
    await eventually(
      "the other node refuses",
      async () => {
        expect(await doors(tokens, other)).toEqual(shut);
        return true;
      },
      5000,
    );
    // Nor do they come to life with it.
    await moderate(id, { is_active: true });
    expect(await doors(tokens)).toEqual(shut);
  });

  test("nobody deletes one, so no id is given twice", async () => {
    const { id } = await signUp(one());
    expect((await moderator.client.request("DELETE", `${users}/${id}/`)).status).toBe(405);
    expect((await moderator.client.request("DELETE", current)).status).toBe(405);
  });
});

test("49 a moderator who is demoted: his old token moderates no more, and gRPC tells the role of the database", async () => {
  const demoted = await signUp(one(), "MO");
  expect((await demoted.client.get(`${users}/?limit=1`)).status).toBe(200);
  await moderate(demoted.id, { role: "CO" });
  for (const ask of [
    () => demoted.client.get(`${users}/?limit=1`),
    () => demoted.client.get("/api/v1/audit/"),
    () => demoted.client.request("PATCH", `${users}/${moderator.id}/`, { body: { is_active: false } }),
    () => demoted.client.post(`${users}/moderators/`, registration()),
  ]) {
    expect((await ask()).status).toBe(403);
  }
  expect((await demoted.client.get(`${users}/${moderator.id}/`)).json()).not.toHaveProperty("email");
  expect(await nodes[0]!.roles.getUserRole(demoted.token)).toEqual({
    user_id: String(demoted.id),
    role: "USER_ROLE_COURIER",
  });
});

test("50 every node is killed and started again: what was taken back before stays so, from the first question on", async () => {
  const [node] = await startNodes(1, { ...stand.env, TRANSPORTER: "" });
  const on = at(node!);
  const [out, banned, changed, demoted] = await Promise.all(
    (["CU", "CU", "CU", "MO"] as const).map((role) => signUp(on, role, { verified: true })),
  );
  const dead = [out, banned, changed].map((person) => tokensOf(person!.client));
  await out!.client.post(clear);
  await moderate(banned!.id, { is_active: false });
  const body = { current_password: password, new_password: newPassword };
  expect((await changed!.client.post(`${current}password/`, body)).status).toBe(200);
  await moderate(demoted!.id, { role: "CU" });
  await node!.kill();

  const [again] = await startNodes(1, { ...stand.env, TRANSPORTER: "" });
  try {
    expect(await again!.roles.getUserRole(demoted!.token)).toMatchObject({ role: "USER_ROLE_CUSTOMER" });
    for (const tokens of dead) expect(await doors(tokens, again)).toEqual(shut);
  } finally {
    await again!.stop();
  }
});

describe("51 cookies that an attacker planted", () => {
  const planted = ({ access, refresh }: Tokens) => `access_token=${access}; refresh_token=${refresh}`;
  test.each<[string, (on: Client, options: object, email: string) => Promise<Answer>]>([
    ["before a sign-in", (on, options, email) => on.post(login, { email, password }, options)],
    ["before a registration", (on, options) => on.post(`${users}/customers/`, registration(), options)],
    [
      "twice, by two paths, before a sign-in",
      (on, options, email) => {
        const { headers } = options as { headers: { cookie: string } };
        return on.post(login, { email, password }, cookie(`${headers.cookie}; ${headers.cookie}`));
      },
    ],
  ])("%s: replaced, never adopted, and the attacker sees nothing of it", async (_, enter) => {
    const [attacker, { email }] = [await signUp(one()), await signUp(one())];
    const theirs = tokensOf(attacker.client);
    const victim = one().client();
    const answer = await enter(victim, cookie(planted(theirs)), email);
    expect([200, 201]).toContain(answer.status);
    const given = tokensOf(victim);
    expect(Object.values(given).filter((token) => Object.values(theirs).includes(token))).toEqual([]);
    const me = (await one().client().get(current, bearer(given.access))).json();
    expect(me["id"]).not.toBe(attacker.id);
    expect((await one().client().get(current, bearer(theirs.access))).json()).toMatchObject({ id: attacker.id });
    // The attacker's session is one of the attacker's, as before.
    expect(await stand.query("select 1 from sessions where user_id = $1", [attacker.id])).toHaveLength(1);
  });

  test("an id of a session that never was: never taken over", async () => {
    const { email } = await signUp(one());
    const made = "A".repeat(86);
    const victim = one().client();
    await victim.post(login, { email, password }, cookie(`access_token=x; refresh_token=${made}`));
    expect(refreshTokenOf(victim)).not.toBe(made);
    expect((await exchange(made)).status).toBe(401);
  });
});

describe.each([
  ["http", {}],
  ["https", { WEB_APP_PROTOCOL: "https" }],
])("54 cookies over %s", (protocol, changes) => {
  test("have the same attributes on every route that sets or clears them", async () => {
    const [node] = await startNodes(1, { ...stand.env, TRANSPORTER: "", ...changes });
    try {
      const { email, client } = await signUp(at(node!));
      const fresh = async () => {
        const own = at(node!).client();
        return [own, await own.post(login, { email, password })] as const;
      };
      const [signedIn, answer] = await fresh();
      const { id } = (
        (await signedIn.get("/api/v1/sessions/")).json() as unknown as { id: string; current: boolean }[]
      ).find((session) => session.current)!;
      const changed = { current_password: password, new_password: newPassword };
      const answers = {
        registered: await at(node!).client().post(`${users}/couriers/`, registration()),
        "signed in": answer,
        "for the browser's session": await at(node!).client().post(login, { email, password, expires_session: true }),
        refreshed: await signedIn.post(refresh),
        "own session ended": await signedIn.request("DELETE", `/api/v1/sessions/${id}/`),
        "signed out": await (await fresh())[0].post(clear),
        "password changed": await client.post(`${current}password/`, changed),
      };
      const seen = new Map<string, Set<string>>();
      for (const [name, { status, headers }] of Object.entries(answers)) {
        expect([name, [200, 201, 204].includes(status), headers.getSetCookie().length > 1]).toEqual([name, true, true]);
      }
      for (const { name, attributes } of Object.values(answers).flatMap(setCookiesOf)) {
        const { Path: path = "", ...rest } = attributes;
        const kept = Object.entries(rest).filter(([attribute]) => !["Max-Age", "Expires"].includes(attribute));
        const key = `${name} ${path}`;
        seen.set(key, (seen.get(key) ?? new Set()).add(JSON.stringify(kept.toSorted())));
      }
      expect([...seen.keys()].toSorted()).toEqual([
        "access_token /",
        "device_id /api/v1",
        "refresh_token /",
        "refresh_token /api/v1/tokens",
      ]);
      const secure = protocol === "https" ? [["Secure", ""]] : [];
      const expected = JSON.stringify([["HttpOnly", ""], ["SameSite", "Lax"], ...secure]);
      for (const [key, found] of seen) expect([key, [...found]]).toEqual([key, [expected]]);
    } finally {
      await node!.stop();
    }
  });
});
