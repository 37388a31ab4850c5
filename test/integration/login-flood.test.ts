import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { eventually } from "../support/eventually.ts";
import { password, registration } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

/** What runs and what may wait at cost 10 (services/auth/hashing/passwords.ts). */
const room = (1 + 16) * availableParallelism();

const { email, ...person } = registration();
let service: TestService;
beforeAll(async () => {
  service = await startService({ SERVICES: "auth,api-gateway", PASSWORD_HASH_COST: "10" });
  const registered = await service.client().post("/api/v1/users/customers/", { email, ...person });
  expect(registered.status).toBe(201);
});
afterAll(() => service.stop());

const signIn = (body: { email: string; password: string }) => service.client().post("/api/v1/tokens/", body);
const flood = (callers: number) =>
  Array.from({ length: callers }, async (_, caller) => {
    const answer = await signIn({ email: `nobody-${caller}@example.com`, password: "wrong horse battery" });
    return { status: answer.status, retryAfter: answer.headers.get("retry-after") };
  });

test("a login flood: what the queue cannot hold gets 503 with Retry-After, the others their answer", async () => {
  const answers = await Promise.all(flood(4 * room));
  const refused = answers.filter(({ status }) => status === 503);
  const hashed = answers.filter(({ status }) => status === 401);
  expect(refused.length + hashed.length).toBe(answers.length);
  expect(refused.length).toBeGreaterThan(room);
  expect(hashed.length).toBeGreaterThan(0);
  expect(new Set(refused.map(({ retryAfter }) => retryAfter))).toEqual(new Set(["2"]));
});

test("a login flood: health, dns and fs answer while it lasts, and a sign-in works after it", async () => {
  const state = { over: false };
  const flooding = Promise.all(flood(2 * room)).finally(() => (state.over = true));
  const jobs = {
    live: async () => (await service.client().get("/health/live")).status === 200,
    dns: async () => (await lookup("localhost")).address !== "",
    fs: async () => (await readFile(import.meta.filename)).length > 0,
  };
  const rounds: number[] = [];
  while (!state.over) {
    const begun = performance.now();
    expect(await Promise.all(Object.values(jobs).map((job) => job()))).toEqual([true, true, true]);
    rounds.push(performance.now() - begun);
  }
  const answers = await flooding;
  expect(answers.some(({ status }) => status === 401)).toBe(true);
  // All of them behind the hashes would be one round.
  expect(rounds.length).toBeGreaterThan(5);
  await eventually("a sign-in", async () => ((await signIn({ email, password })).status === 200 ? true : undefined));
});
