import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";
import { memoryLog } from "../unit/helpers.ts";
import { bearer, said, setCookiesOf, signUp, type Person } from "./accounts.ts";

const log = memoryLog();
let service: TestService;
beforeAll(async () => {
  service = await startService({}, { log });
});
afterAll(() => service.stop());

const refresh = "/api/v1/tokens/refresh/";
const invalidToken = [401, { detail: "Token is invalid or expired", code: "invalid_token" }];
const refreshTokenOf = (client: Client): string => client.cookie("refresh_token") ?? "";
const sessionsOf = ({ id }: Person) =>
  service.query<{ end_reason: string | null }>("select end_reason from sessions where user_id = $1", [id]);

/** Refreshes on a network that loses every third answer: what was lost is asked again with the token of before. */
async function refreshWithLosses(on: TestService, token: string, wanted: number) {
  let current = { access: "", token };
  let lost = 0;
  for (let asked = 1, refreshed = 0; refreshed < wanted; asked++) {
    const headers = { cookie: `refresh_token=${current.token}` };
    const answer = await on.client().post(refresh, undefined, { headers });
    expect([refreshed, answer.status]).toEqual([refreshed, 200]);
    if (asked % 3 === 0) {
      lost++;
      continue;
    }
    const [access, next] = setCookiesOf(answer).map(({ value }) => value);
    current = { access: access ?? "", token: next ?? "" };
    refreshed++;
  }
  return { ...current, lost };
}

test("a client that loses every third answer and retries: 1,000 refreshes later it is still signed in", async () => {
  const person = await signUp(service);
  const { access, lost } = await refreshWithLosses(service, refreshTokenOf(person.client), 1000);
  expect(lost).toBe(499);
  const current = await service.client().get("/api/v1/users/current/", bearer(access));
  expect(current.json()).toMatchObject({ id: person.id });
  expect(await sessionsOf(person)).toEqual([{ end_reason: null }]);
  expect(
    await service.query("select 1 from audit_log where subject_id = $1 and event <> 'user_created'", [person.id]),
  ).toEqual([]);
}, 120_000);

test("a client that also hangs up in the middle, again and again, is overtaken by nobody but itself", async () => {
  const person = await signUp(service);
  const url = new URL(refresh, service.url);
  let token = refreshTokenOf(person.client);
  for (let round = 0; round < 200; round++) {
    const headers = { cookie: `refresh_token=${token}` };
    const givenUp = Array.from({ length: 3 }, async () => {
      const signal = AbortSignal.timeout(Math.floor(Math.random() * 4));
      await fetch(url, { method: "POST", headers, signal }).catch(() => undefined);
    });
    await Promise.any([Promise.all(givenUp), sleep(Math.random() * 4)]);
    // Twice, so that a late one of those above finds its token out of use.
    for (let retry = 0; retry < 2; retry++) {
      const answer = await service.client().post(refresh, undefined, { headers: { cookie: `refresh_token=${token}` } });
      expect([round, said(answer)]).toEqual([round, [200, {}]]);
      token = setCookiesOf(answer)[1]?.value ?? "";
    }
  }
  expect(await sessionsOf(person)).toEqual([{ end_reason: null }]);
}, 60_000);

describe("a thief who uses an old token once", () => {
  const steal = (token: string) =>
    service.client().post(refresh, undefined, {
      headers: { cookie: `refresh_token=${token}`, "user-agent": "a thief", "x-request-id": "stolen-1" },
    });

  test.each([
    ["the one before the last", 2],
    ["one of long ago", 20],
  ])("%s: the session is over for both, and the owner is told by mail, audit log and log", async (_, age) => {
    const person = await signUp(service);
    const tokens = [refreshTokenOf(person.client)];
    for (let count = 0; count < age; count++) {
      await person.client.post(refresh);
      tokens.push(refreshTokenOf(person.client));
    }
    const answer = await steal(tokens[0] ?? "");
    expect([said(answer), setCookiesOf(answer)]).toEqual([invalidToken, []]);
    expect(said(await person.client.get("/api/v1/users/current/"))).toEqual([
      401,
      { detail: "Session has ended", code: "session_ended" },
    ]);
    expect(said(await person.client.post(refresh))).toEqual(invalidToken);
    expect(await sessionsOf(person)).toEqual([{ end_reason: "reuse" }]);

    expect((await service.mailTo(person.email, 2)).subject).toContain("signed a device out");
    const audited =
      "select event, ip, user_agent, request_id, details from audit_log where subject_id = $1 and event = 'authn_token_reuse'";
    expect(await service.query(audited, [person.id])).toEqual([
      {
        event: "authn_token_reuse",
        ip: "127.0.0.1",
        user_agent: "a thief",
        request_id: "stolen-1",
        details: { session_id: expect.any(String) },
      },
    ]);
    const lines = log.lines.filter(({ fields }) => fields["subject_id"] === person.id);
    expect(lines.filter(({ fields }) => fields["event"] === "authn_token_reuse")).toHaveLength(1);
    for (const token of tokens) expect(log.text()).not.toContain(token);
  });

  test("again and again: the owner gets one mail", async () => {
    const person = await signUp(service);
    const first = refreshTokenOf(person.client);
    await person.client.post(refresh);
    await person.client.post(refresh);
    for (let count = 0; count < 5; count++) expect((await steal(first)).status).toBe(401);
    const told = "select 1 from mails where user_id = $1 and kind = 'session-reuse'";
    expect(await service.query(told, [person.id])).toHaveLength(1);
  });

  test("the owner's other sessions live on", async () => {
    const person = await signUp(service);
    const other = service.client();
    await other.post("/api/v1/tokens/", { email: person.email, password });
    const first = refreshTokenOf(person.client);
    await person.client.post(refresh);
    await person.client.post(refresh);
    await steal(first);
    expect((await other.get("/api/v1/users/current/")).status).toBe(200);
  });
});
