import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eventually } from "../support/eventually.ts";
import { uniqueEmail } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

interface Answered {
  readonly status: number;
  readonly began: number;
  readonly ms: number;
}

/** FAULTS 19 and 20: one of two nodes with `auth` dies, or stops without a word, while both are busy. */
describe("a gateway and two nodes with `auth`, over TCP", () => {
  let stand: TestStand;
  let ports: number[];
  const processes: ServiceProcess[] = [];
  const start = async (index: number, SERVICES: string): Promise<void> => {
    const TRANSPORTER = `tcp://${ports.map((port) => `127.0.0.1:${port}`).join(",")}`;
    const own = { SERVICES, TRANSPORTER, TRANSPORTER_TCP_PORT: String(ports[index]) };
    const running = startProcess({ ...stand.env, ...own });
    processes[index] = running;
    await running.ready();
  };
  beforeAll(async () => {
    stand = await createStand();
    ports = [await freePort(), await freePort(), await freePort()];
    await Promise.all([start(0, "api-gateway"), start(1, "auth"), start(2, "auth")]);
    await answersInARow();
  }, 60_000);
  afterAll(async () => {
    await Promise.all(processes.map((running) => running.stop())).finally(() => stand.stop());
  }, 60_000);

  /** 401: `auth` has answered. */
  const ask = async (): Promise<Answered> => {
    const began = performance.now();
    const body = { email: uniqueEmail("nobody"), password: "correct horse battery" };
    const { status } = await stand.client().post("/api/v1/tokens/", body);
    return { status, began, ms: performance.now() - began };
  };
  const answersInARow = () => {
    let inARow = 0;
    return eventually(
      "twenty answers in a row",
      async () => {
        const { status } = await ask();
        inARow = status === 401 ? inARow + 1 : 0;
        if (inARow === 0) throw new Error(`answered ${status}`);
        return inARow === 20 ? true : undefined;
      },
      40_000,
    );
  };

  /** The breaker opens where there was silence, and twenty in a row may all be the other node's. */
  const bothAnswer = () =>
    eventually(
      "both answer",
      async () => {
        const before = [1, 2].map(answersOf);
        await answersInARow();
        const shares = [1, 2].map((index, nth) => answersOf(index) - (before[nth] ?? 0));
        // Twenty and no more: what had waited for the one that was stopped is no share of it.
        return (shares[0]! + shares[1]! === 20 && Math.min(...shares) > 5) || undefined;
      },
      40_000,
    );
  const answersOf = (index: number): number =>
    processes[index]?.stdout().split('"event":"authn_login_fail"').length ?? 0;

  /** Four who ask again and again while something is done. */
  const underLoad = async (work: () => Promise<unknown>): Promise<Answered[]> => {
    const answered: Answered[] = [];
    let isOver = false;
    const asking = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!isOver) answered.push(await ask());
      }),
    );
    await work().finally(() => (isOver = true));
    await asking;
    expect(answered.filter(({ status }) => status !== 401 && status !== 503)).toEqual([]);
    return answered;
  };

  test("killed: only what it was doing fails, all else goes on, and it is used again when it is back", async () => {
    await answersInARow();
    let killed = 0;
    const answered = await underLoad(async () => {
      await ask();
      killed = performance.now();
      await processes[1]?.kill();
      await answersInARow();
    });
    const failed = answered.filter(({ status }) => status === 503);
    expect(failed.filter(({ began }) => began > killed + 1000)).toEqual([]);
    expect(failed.length).toBeLessThan(20);
    await start(1, "auth");
    await answersInARow();
  }, 60_000);

  test("stopped without a word: nobody waits longer than three seconds, and both are used when it goes on", async () => {
    await answersInARow();
    const { pid } = processes[2] ?? { pid: 0 };
    try {
      const answered = await underLoad(async () => {
        process.kill(pid, "SIGSTOP");
        await answersInARow();
      });
      expect(answered.filter(({ ms }) => ms > 4000)).toEqual([]);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await bothAnswer();
  }, 90_000);
});
