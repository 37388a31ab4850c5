import { afterAll, beforeAll, expect } from "@jest/globals";
import { createHash } from "node:crypto";
import { Client, type Answer, type RequestOptions } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** What holds when an operator has configured nothing, and one proxy stands in front, which is this test. */
const defaults = { THROTTLE_WRONG_PASSWORDS: "", THROTTLE_PER_IP: "", THROTTLE_MAILS: "" };
/** With a process of the service on it, from before the first test to after the last one. */
export let stand: TestStand;
let running: ServiceProcess;
beforeAll(async () => {
  stand = await createStand({ ...defaults, TRUSTED_PROXY_HOPS: "1" });
  running = startProcess(stand.env);
  await running.ready();
});
afterAll(async () => {
  await running.stop();
  await stand.stop();
});

export const login = "/api/v1/tokens/";
export const reset = "/api/v1/users/password-reset/";
export const confirmReset = "/api/v1/users/password-reset/confirm/";
export const current = "/api/v1/users/current/";
export const changePassword = "/api/v1/users/current/password/";
export const wrongPassword = "wrong horse battery";
export const newPassword = "seven bicycles in the rain";
export const tooMany = { detail: "Too many requests. Try again later.", code: "too_many_requests" };

let networks = 0;
/** An address that no other test of this file has: 198.18.0.0/15 belongs to benchmarks. */
export const newIp = (): string => `198.18.${networks >> 8}.${networks++ & 0xff}`;
export const from = (ip: string): RequestOptions => ({ headers: { "x-forwarded-for": ip } });
export const signIn = (email: string, typed: string, ip = newIp(), client: Client = stand.client()): Promise<Answer> =>
  client.post(login, { email, password: typed }, from(ip));
export const statusesOf = (answers: readonly Answer[]) => answers.map(({ status }) => status);
/** One after the other. */
export async function times<T>(count: number, ask: (nth: number) => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  for (let nth = 0; nth < count; nth++) answers.push(await ask(nth));
  return answers;
}
/** Wrong passwords from as many networks, until nothing is left. */
export async function exhaust(email: string): Promise<void> {
  const answers = await times(6, () => signIn(email, wrongPassword));
  expect(statusesOf(answers)).toEqual([401, 401, 401, 401, 401, 429]);
}
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
/** What is counted for an address, by budget. */
export const countsOf = async (email: string): Promise<Record<string, number>> => {
  const rows = await stand.query<{ key: string; points: number }>("select * from attempts where key like '%:' || $1", [
    sha256(email),
  ]);
  return Object.fromEntries(rows.map(({ key, points }) => [key.split(":")[0] ?? "", points]));
};
export const countFor = async (budget: string, network: string): Promise<number | undefined> => {
  const [row] = await stand.query<{ points: number }>("select points from attempts where key = $1", [
    `${budget}:${network}`,
  ]);
  return row?.points;
};
export const useUp = (budget: string, network: string) =>
  stand.query("insert into attempts values ($1, 1000000, $2)", [`${budget}:${network}`, Date.now() + 60_000]);
/** Another node on the same database. */
export async function startAnother(changes: Record<string, string> = {}) {
  const port = String(await freePort());
  const own = { WEB_APP_PORT: port, GRPC_SERVER_PORT: String(await freePort()) };
  const node = startProcess({ ...stand.env, ...own, ...changes });
  await node.ready();
  return { client: () => new Client(`http://127.0.0.1:${port}`), stop: () => node.stop(), logs: () => node.logs() };
}
export const blockPasses = (email: string) =>
  stand.query("update attempts set expire = 0 where key = 'wrong-passwords:' || $1", [sha256(email)]);
