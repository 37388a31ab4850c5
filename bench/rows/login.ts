import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import bcrypt from "bcrypt";
import type { Figure, Row } from "../row.ts";
import { httpClient, type Send } from "../support/http.ts";
import type { Flood, Statuses } from "../support/login-flood.ts";
import { mean, median, perSecond, quantile, timesDuring } from "../support/measure.ts";
import { startMeasuredService, type MeasuredService } from "../support/service.ts";
import { password, registration } from "../../test/support/people.ts";

const cost = 10;
const rounds = 3;
/** In short turns, so that whatever else runs on the machine slows both. */
const turns = 8;
const secondsEach = 2.5;
const accounts = 32;
const cores = availableParallelism();
/** Enough that no worker ever waits for work, and few enough that none of them is refused. */
const callers = 4 * cores;

/** Signing in through the whole service against bare compares, turn by turn; then what else still works in a flood. */
export const login: Row = async (log) => {
  const service = await startMeasuredService({ PASSWORD_HASH_COST: String(cost) });
  try {
    return [...(await throughput(service, log)), ...(await duringFlood(service, log))];
  } finally {
    await service.stop();
  }
};

async function throughput({ url }: MeasuredService, log: (line: string) => void): Promise<Figure[]> {
  const send = httpClient(url);
  const signIn = signInsOf(send, await registerAccounts(send));
  const hash = await bcrypt.hash(password, cost);
  const compare = () => bcrypt.compare(password, hash);
  // V8 goes on optimising for some hundred sign-ins.
  await perSecond(callers, 15, signIn);
  await perSecond(cores, 2, compare);
  const ratios: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const measured: { logins: number; bare: number }[] = [];
    for (let turn = 0; turn < turns; turn++) {
      const bare = await perSecond(cores, secondsEach, compare);
      measured.push({ bare, logins: await perSecond(callers, secondsEach, signIn) });
    }
    const [logins, bare] = [mean(measured.map((turn) => turn.logins)), mean(measured.map((turn) => turn.bare))];
    log(`${logins.toFixed(1)} sign-ins a second, ${bare.toFixed(1)} bare compares: ${(logins / bare).toFixed(3)}`);
    ratios.push(logins / bare);
    rates.push(logins);
  }
  return [
    { name: "sign-ins / bare compares, lowest round", value: Math.min(...ratios), unit: "ratio", atLeast: 0.9 },
    { name: "sign-ins / bare compares, median", value: median(ratios), unit: "ratio", atLeast: 0.9 },
    { name: "sign-ins / bare compares, spread", value: Math.max(...ratios) - Math.min(...ratios), unit: "ratio" },
    { name: "sign-ins", value: median(rates), unit: "per second" },
  ];
}

async function registerAccounts(send: Send): Promise<string[]> {
  const people = Array.from({ length: accounts }, () => registration());
  for (const person of people) expectStatus(201, await send("POST", "/api/v1/users/customers/", person));
  return people.map(({ email }) => email);
}

function signInsOf(send: Send, emails: readonly string[]): () => Promise<void> {
  let next = 0;
  return async () => {
    const email = emails[next++ % emails.length];
    const signIn = () => send("POST", "/api/v1/tokens/", { email, password });
    let status = await signIn();
    // A busy machine lets hashes wait too long: only those that came through count.
    while (status === 503) status = await signIn();
    expectStatus(200, status);
  };
}

function expectStatus(wanted: number, status: number): void {
  if (status !== wanted) throw new Error(`${status} and not ${wanted}`);
}

async function duringFlood(service: MeasuredService, log: (line: string) => void): Promise<Figure[]> {
  const send = httpClient(service.url);
  const live = async () => expectStatus(200, await send("GET", "/health/live"));
  const flood: Flood = { url: service.url, callers: 200, seconds: 15 };
  const probed = await service.probe();
  const flooding = once(
    new Worker(new URL("../support/login-flood.ts", import.meta.url), { workerData: flood }),
    "message",
  );
  const times = await timesDuring(flooding, 20, live);
  const [statuses] = (await flooding) as [Statuses];
  const { eventLoop, dns, fs, rss } = await probed();
  log(`flood: ${JSON.stringify(statuses)}, RSS ${rss.toFixed(0)} MB`);
  return [
    { name: "flood: event loop delay", value: eventLoop, unit: "ms p99", atMost: 50 },
    { name: "flood: GET /health/live", value: quantile(times, 0.99), unit: "ms p99", atMost: 100 },
    { name: "flood: dns.lookup", value: dns, unit: "ms p99", atMost: 200 },
    { name: "flood: fs.readFile", value: fs, unit: "ms p99", atMost: 200 },
  ];
}
