import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { eventually } from "../support/eventually.ts";
import { patiently, said, signUp } from "../contract/accounts.ts";
import { registration } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const reused = [409, { detail: expect.any(String), code: "idempotency_key_reused" }];
const times = <T>(make: (n: number) => Promise<T>) => Promise.all(Array.from({ length: 16 }, (_, n) => make(n)));
const register = (key: string, body: unknown, path = "customers") =>
  patiently(() => service.client().post(`/api/v1/users/${path}/`, body, { headers: { "idempotency-key": key } }));

/** Accounts with these addresses, with what each has made. */
const madeFor = (emails: readonly string[]) =>
  service.query<{ id: number; mails: number; events: number; sessions: number }>(
    `select u.id::int, (select count(*)::int from mails where user_id = u.id) as mails,
       (select count(*)::int from outbox where user_id = u.id) as events,
       (select count(*)::int from sessions where user_id = u.id) as sessions
     from users u where u.email_canonical = any($1)`,
    [emails.map((email) => email.toLowerCase())],
  );
async function expectOneMailSent(email: string): Promise<void> {
  await eventually("every queued mail was sent", async () => {
    const waiting = await service.query("select 1 from mails where status = 'queued'");
    return waiting.length === 0 ? true : undefined;
  });
  expect((await service.mails()).filter(({ to }) => to.includes(email))).toHaveLength(1);
}

describe("16 registrations with one Idempotency-Key at once", () => {
  test("with one body: 16 answers with one account, one mail, one event", async () => {
    const [key, body] = [randomUUID(), registration()];
    const answers = await times(() => register(key, body));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 201));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    const id = answers[0]!.json()["id"];
    expect(await madeFor([body.email])).toEqual([{ id, mails: 1, events: 1, sessions: 16 }]);
    await expectOneMailSent(body.email);
  });

  test("with 16 addresses: one account; the others are told that the key is used", async () => {
    const [key, bodies] = [randomUUID(), Array.from({ length: 16 }, () => registration())];
    const answers = await times((n) => register(key, bodies[n]));
    const winners = answers.filter(({ status }) => status === 201);
    expect(winners).toHaveLength(1);
    for (const answer of answers) if (answer !== winners[0]) expect(said(answer)).toEqual(reused);
    const id = winners[0]!.json()["id"];
    expect(await madeFor(bodies.map(({ email }) => email))).toEqual([{ id, mails: 1, events: 1, sessions: 1 }]);
  });

  test("with one address and 16 passwords: one account; the others are told that the key is used", async () => {
    const [key, body] = [randomUUID(), registration()];
    const answers = await times((n) => register(key, { ...body, password: `seven bicycles in the rain ${n}` }));
    const winner = answers.findIndex(({ status }) => status === 201);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    for (const answer of answers) if (answer !== answers[winner]) expect(said(answer)).toEqual(reused);
    const signIn = { email: body.email, password: `seven bicycles in the rain ${winner}` };
    expect((await service.client().post("/api/v1/tokens/", signIn)).status).toBe(200);
    expect(await madeFor([body.email])).toEqual([{ id: expect.any(Number), mails: 1, events: 1, sessions: 2 }]);
  });

  test("with one body in three roles: one account", async () => {
    const [key, body] = [randomUUID(), registration()];
    const paths = ["customers", "couriers", "managers"];
    const answers = await times((n) => register(key, body, paths[n % 3]));
    const won = answers.filter(({ status }) => status === 201);
    const role = won[0]!.json()["role"];
    expect(won.every((answer) => answer.json()["role"] === role)).toBe(true);
    for (const answer of answers) if (answer.status !== 201) expect(said(answer)).toEqual(reused);
    expect(await madeFor([body.email])).toEqual([
      expect.objectContaining({ mails: 1, events: 1, sessions: won.length }),
    ]);
  });

  test("of moderators, with one body: 16 answers with one account, one mail, one event", async () => {
    const { client } = await signUp(service, "MO");
    const [headers, body] = [{ "idempotency-key": randomUUID() }, registration()];
    const answers = await times(() => patiently(() => client.post("/api/v1/users/moderators/", body, { headers })));
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    const id = answers[0]!.json()["id"];
    expect([answers[0]!.status, await madeFor([body.email])]).toEqual([
      201,
      [{ id, mails: 1, events: 1, sessions: 0 }],
    ]);
    await expectOneMailSent(body.email);
  });
});

test("16 registrations with 16 keys and one address at once: one account; the others are told that it is taken", async () => {
  const body = registration();
  const answers = await times(() => register(randomUUID(), body));
  expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array.from({ length: 15 }, () => 400)]);
  expect(await madeFor([body.email])).toEqual([{ id: expect.any(Number), mails: 1, events: 1, sessions: 1 }]);
});
