import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import jwt from "jsonwebtoken";
import { patiently, said, setCookiesOf, signUp, type Person } from "../contract/accounts.ts";
import type { Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService({ LEGACY_TOKENS_UNTIL: "2099-01-01" });
});
afterAll(() => service.stop());

const refresh = (token: string) =>
  service.client().post("/api/v1/tokens/refresh/", undefined, { headers: { cookie: `refresh_token=${token}` } });
const times = <T>(n: number, make: () => Promise<T>) => Promise.all(Array.from({ length: n }, make));

describe("16 refreshes with one token at once", () => {
  test("all get the same successor, in one family, which lives on", async () => {
    const { id, client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    const answers = await times(16, () => refresh(token));
    expect(answers.map(said)).toEqual(Array.from({ length: 16 }, () => [200, {}]));
    const successors = answers.map(
      (answer) => setCookiesOf(answer).find(({ name }) => name === "refresh_token")?.value,
    );
    expect(new Set(successors).size).toBe(1);
    expect(successors[0]).not.toBe(token);
    const sessions = await service.query("select ended_at from sessions where user_id = $1", [id]);
    expect(sessions).toEqual([{ ended_at: null }]);
    expect((await refresh(successors[0] ?? "")).status).toBe(200);
  });

  test("with a token whose successor was used: none gets a pair, and the family is over", async () => {
    const { client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    await client.post("/api/v1/tokens/refresh/");
    await client.post("/api/v1/tokens/refresh/");
    const answers = await times(16, () => refresh(token));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 401));
    expect((await client.get("/api/v1/users/current/")).status).toBe(401);
  });

  test("12 stolen sessions of one account at once: three mails, as many rows as there were", async () => {
    const person = await signUp(service);
    const old = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const client = service.client();
        await patiently(() => client.post("/api/v1/tokens/", { email: person.email, password }));
        const token = client.cookie("refresh_token") ?? "";
        for (let nth = 0; nth < 2; nth++) await client.post("/api/v1/tokens/refresh/");
        return token;
      }),
    );
    const answers = await Promise.all(old.map(refresh));
    expect(answers.map(({ status }) => status)).toEqual(old.map(() => 401));
    const mails = "select 1 from mails where user_id = $1 and kind = 'session-reuse'";
    expect(await service.query(mails, [person.id])).toHaveLength(3);
    const audited = "select 1 from audit_log where subject_id = $1 and event = 'authn_token_reuse'";
    expect(await service.query(audited, [person.id])).toHaveLength(12);
  });

  test("while the owner signs out: whoever comes later gets nothing, and nothing that was given still works", async () => {
    const { client } = await signUp(service);
    const token = client.cookie("refresh_token") ?? "";
    const [answers] = await Promise.all([times(16, () => refresh(token)), client.post("/api/v1/tokens/clear/")]);
    const given = answers.flatMap(setCookiesOf).filter(({ name, value }) => name === "access_token" && value !== "");
    for (const { value } of given) {
      const answer = await service
        .client()
        .get("/api/v1/users/current/", { headers: { authorization: `Bearer ${value}` } });
      expect(answer.status).toBe(401);
    }
    expect((await refresh(token)).status).toBe(401);
  });
});

test("16 exchanges of one refresh token of the original at once: all get the same successor, in one session", async () => {
  const { id, client } = await signUp(service);
  await client.post("/api/v1/tokens/clear/");
  const claims = { token_type: "refresh", user_id: id };
  const token = jwt.sign(claims, service.env["SECRET_KEY"] ?? "", { algorithm: "HS256", expiresIn: "1d" });
  const answers = await times(16, () => refresh(token));
  expect(answers.map(said)).toEqual(Array.from({ length: 16 }, () => [200, {}]));
  const given = answers.map((answer) => setCookiesOf(answer).find(({ name }) => name === "refresh_token")?.value);
  expect(new Set(given).size).toBe(1);
  const live = await service.query("select 1 from sessions where user_id = $1 and ended_at is null", [id]);
  expect(live).toHaveLength(1);
  expect((await refresh(given[0] ?? "")).status).toBe(200);
});

describe("sessions that are ended at once", () => {
  async function signIn({ email }: Person): Promise<Client> {
    const client = service.client();
    expect((await patiently(() => client.post("/api/v1/tokens/", { email, password }))).status).toBe(200);
    return client;
  }
  const idOf = async (client: Client): Promise<string> => {
    const sessions = JSON.parse((await client.get("/api/v1/sessions/")).text) as { id: string; current: boolean }[];
    return sessions.find(({ current }) => current)?.id ?? "";
  };
  const end = (client: Client, id = "") => client.request("DELETE", `/api/v1/sessions/${id === "" ? "" : `${id}/`}`);
  const statuses = (answers: readonly { status: number }[]) => answers.map(({ status }) => status).toSorted();
  const isAlive = async (client: Client) => (await client.get("/api/v1/users/current/")).status === 200;

  test("16 times the same one: one has ended it, for the others it is not there", async () => {
    const person = await signUp(service);
    const other = await signIn(person);
    const id = await idOf(other);
    const answers = await times(16, () => end(person.client, id));
    expect(statuses(answers)).toEqual([204, ...Array.from({ length: 15 }, () => 404)]);
    expect([await isAlive(other), await isAlive(person.client)]).toEqual([false, true]);
  });

  test("16 sessions that each end all others: at most one lives, and nobody gets a 500", async () => {
    const person = await signUp(service);
    const clients = [person.client, ...(await times(15, () => signIn(person)))];
    const answers = await Promise.all(clients.map((client) => end(client)));
    expect(answers.every(({ status }) => [204, 401].includes(status))).toBe(true);
    expect(answers.some(({ status }) => status === 204)).toBe(true);
    const alive = await Promise.all(clients.map(isAlive));
    expect(alive.filter(Boolean).length).toBeLessThanOrEqual(1);
  });

  test("while they are refreshed: nothing that was given still works", async () => {
    const person = await signUp(service);
    const clients = await times(8, () => signIn(person));
    await Promise.all([end(person.client), ...clients.map((client) => client.post("/api/v1/tokens/refresh/"))]);
    expect(await Promise.all(clients.map(isAlive))).toEqual(clients.map(() => false));
    expect(await isAlive(person.client)).toBe(true);
  });
});

test("65 sign-ins, most of them 16 at a time: 50 sessions live, and nobody gets a 500", async () => {
  const { id, email } = await signUp(service);
  for (let round = 0; round < 4; round++) {
    const answers = await times(16, () =>
      patiently(() => service.client().post("/api/v1/tokens/", { email, password })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
  }
  const sessions = await service.query<{ end_reason: string | null }>(
    "select end_reason from sessions where user_id = $1 order by end_reason nulls first",
    [id],
  );
  expect(sessions.map(({ end_reason }) => end_reason)).toEqual([
    ...Array.from({ length: 50 }, () => null),
    ...Array.from({ length: 15 }, () => "crowded-out"),
  ]);
});
