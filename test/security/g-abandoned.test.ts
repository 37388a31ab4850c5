import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { signUp, type Person } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, 81: clients ask for something that has to be hashed, and hang up while it waits. */
let stand: TestStand;
let person: Person;
beforeAll(async () => {
  stand = await startStand({ PASSWORD_HASH_COST: "10" });
  person = await signUp(stand);
});
afterAll(() => stand.stop());

/** What runs and what may wait at cost 10 (services/auth/hashing/passwords.ts). */
const room = (1 + 16) * availableParallelism();
const wrong = "wrong horse battery";
const newcomers = new Set<string>();
/** What is hashed, on each route that anybody may use by himself. */
const asks: Readonly<Record<string, () => { path: string; body: unknown }>> = {
  "sign-ins": () => ({ path: "/api/v1/tokens/", body: { email: uniqueEmail("nobody"), password: wrong } }),
  registrations: () => {
    const body = registration({ email: uniqueEmail("abandoned") });
    newcomers.add(body.email);
    return { path: "/api/v1/users/customers/", body };
  },
};
const hangUps: Readonly<Record<string, (socket: Socket) => void>> = {
  "close the connection": (socket) => void socket.destroy(),
  "reset it": (socket) => void socket.resetAndDestroy(),
  "say that they will send no more": (socket) => void socket.end(),
};

/** A request whose answer nobody waits for. */
async function send({ path, body }: { path: string; body: unknown }): Promise<Socket> {
  const socket = connect(Number(new URL(stand.url).port), "127.0.0.1").on("error", () => undefined);
  await once(socket, "connect");
  const text = JSON.stringify(body);
  const headers = `Host: x\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}`;
  socket.write(`POST ${path} HTTP/1.1\r\n${headers}\r\n\r\n${text}`);
  return socket;
}
const signIn = async (email: string, typed: string) =>
  (await stand.client().post("/api/v1/tokens/", { email, password: typed })).status;

/** Until one is refused at once: nobody else can wait. */
async function fillTheQueue(ask: () => Parameters<typeof send>[0]): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const queue = { isFull: false };
  for (let nth = 0; nth < 50 && !queue.isFull; nth++) {
    const more = await Promise.all(Array.from({ length: room / 2 }, () => send(ask())));
    for (const socket of more) socket.on("data", (bytes) => (queue.isFull ||= bytes.includes("HTTP/1.1 503")));
    sockets.push(...more);
    await sleep(20);
  }
  expect(queue.isFull).toBe(true);
  return sockets;
}

/** On a busy machine eight may be refused after a wait of 1.2 s; a queue that is full refuses at once. */
async function signInOnceThereIsTime(): Promise<number> {
  const start = performance.now();
  const status = await signIn(person.email, password);
  const waited = performance.now() - start > 1100;
  return status === 503 && waited ? await signInOnceThereIsTime() : status;
}

/** More than find room while what waited is hashed after all: all of that takes more than a second, whatever the cores. */
const honest = 4 * availableParallelism();
async function expectRoom(): Promise<void> {
  const statuses = await Promise.all(Array.from({ length: honest }, signInOnceThereIsTime));
  expect(statuses).toEqual(Array(honest).fill(200));
}

describe("81 the queue of hashes is full, and all who wait", () => {
  test.each(Object.keys(hangUps).flatMap((how) => Object.keys(asks).map((what) => [how, what] as const)))(
    "%s (%s): nothing is hashed for them, and who signs in finds room at once",
    async (how, what) => {
      for (const socket of await fillTheQueue(asks[what]!)) hangUps[how]!(socket);
      await sleep(100);
      await expectRoom();
    },
  );

  test("had hung up before it was their turn to wait: nothing is hashed for them either", async () => {
    for (let round = 0; round < 2; round++) {
      const gone = await Promise.all(Array.from({ length: 3 * room }, () => send(asks["sign-ins"]!())));
      for (const socket of gone) socket.destroy();
    }
    await sleep(100);
    await expectRoom();
  });

  test("hang up, again and again: no place is lost, and their accounts do not come to be later", async () => {
    for (let round = 0; round < 10; round++) {
      for (const socket of await fillTheQueue(asks["registrations"]!)) socket.destroy();
    }
    await sleep(100);
    await expectRoom();
    const made = await stand.query("select 1 from users where email = any($1)", [[...newcomers]]);
    // Those whose hash was being made when they went: it runs to its end.
    expect(made.length).toBeLessThan(newcomers.size / 2);
  });
});
