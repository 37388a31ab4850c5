import { describe, expect, test } from "@jest/globals";
import { HashQueue } from "../../../../../services/auth/hashing/hash-queue.ts";
import { rejection } from "../../../helpers.ts";

const createQueue = (concurrency: number, maxWaiting: number) =>
  new HashQueue({ concurrency, maxWaiting, maxWaitMs: Infinity });

/** Jobs that end when they are told to, and the order in which they started. */
function jobs(queue: HashQueue) {
  const started: number[] = [];
  const gates: PromiseWithResolvers<unknown>[] = [];
  return {
    started,
    run: (call = ""): Promise<number> => {
      const gate = Promise.withResolvers<unknown>();
      const number = gates.push(gate) - 1;
      return queue.run(async () => {
        started.push(number);
        await gate.promise;
        return number;
      }, call);
    },
    finish: (number: number) => gates[number]?.resolve(undefined),
    fail: (number: number) => gates[number]?.reject(new Error(`job ${number}`)),
  };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("HashQueue", () => {
  test("answers what the job answers", async () => {
    expect(await createQueue(1, 0).run(() => Promise.resolve("hash"), "")).toBe("hash");
  });

  test("runs as many jobs at once as it may, and the others in their order", async () => {
    const { run, finish, started } = jobs(createQueue(2, 10));
    const all = Promise.all([run(), run(), run(), run(), run()]);
    await settle();
    expect(started).toEqual([0, 1]);
    finish(1);
    await settle();
    expect(started).toEqual([0, 1, 2]);
    finish(0);
    finish(2);
    await settle();
    expect(started).toEqual([0, 1, 2, 3, 4]);
    finish(3);
    finish(4);
    expect(await all).toEqual([0, 1, 2, 3, 4]);
  });

  test("refuses at once what is more than may wait, and the others do not notice", async () => {
    const { run, finish, started } = jobs(createQueue(1, 2));
    const accepted = [run(), run(), run()];
    const refused = await rejection(run());
    expect(refused).toMatchObject({ type: "unavailable", data: { retryAfterSeconds: 2 } });
    for (const number of [0, 1, 2]) finish(number);
    expect(await Promise.all(accepted)).toEqual([0, 1, 2]);
    expect(started).toEqual([0, 1, 2]);
  });

  test("without room to wait the second job is refused, and the next one after the first is not", async () => {
    const { run, finish } = jobs(createQueue(1, 0));
    const first = run();
    await rejection(run());
    finish(0);
    await first;
    const third = run();
    finish(2);
    expect(await third).toBe(2);
  });

  test("a job that fails frees its place, and only its caller learns of it", async () => {
    const { run, fail, finish, started } = jobs(createQueue(1, 5));
    const [first, second] = [run(), run()];
    fail(0);
    expect(await rejection(first)).toEqual(new Error("job 0"));
    await settle();
    expect(started).toEqual([0, 1]);
    finish(1);
    expect(await second).toBe(1);
  });

  test("a job that throws before it is a promise frees its place as well", async () => {
    const queue = createQueue(1, 0);
    const broken = (): Promise<never> => {
      throw new Error("at once");
    };
    expect(await rejection(queue.run(broken, ""))).toEqual(new Error("at once"));
    expect(await queue.run(() => Promise.resolve(1), "")).toBe(1);
  });

  test("after any mixture of jobs that end and fail its places are all free again", async () => {
    const queue = createQueue(3, 100);
    let [active, most] = [0, 0];
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, number) =>
        queue.run(async () => {
          most = Math.max(most, ++active);
          await settle();
          active--;
          if (number % 3 === 0) throw new Error("now and then");
        }, ""),
      ),
    );
    expect([most, active]).toEqual([3, 0]);
    expect(results.filter(({ status }) => status === "rejected")).toHaveLength(20);
    const { run, started } = jobs(queue);
    void run();
    void run();
    void run();
    await settle();
    expect(started).toEqual([0, 1, 2]);
  });
});

describe("HashQueue: what waits", () => {
  const refused = { type: "unavailable", data: { retryAfterSeconds: 2 } };

  test("for a call that was abandoned is dropped, and the others move up", async () => {
    const queue = createQueue(1, 4);
    const { run, finish, started } = jobs(queue);
    const [first, second] = [run("a"), run("b")];
    expectRefused(run("c"));
    const fourth = run("d");
    expectRefused(run("c"));
    queue.abandon("c");
    const fifth = run("e");
    for (const number of [0, 1, 3, 5]) finish(number);
    expect(await Promise.all([first, second, fourth, fifth])).toEqual([0, 1, 3, 5]);
    expect(started).toEqual([0, 1, 3, 5]);
    await expectations();
  });

  test("makes room when it is abandoned", async () => {
    const queue = createQueue(1, 1);
    const { run, finish } = jobs(queue);
    const first = run("a");
    expectRefused(run("b"));
    queue.abandon("b");
    const third = run("c");
    finish(0);
    finish(2);
    expect(await Promise.all([first, third])).toEqual([0, 2]);
    await expectations();
  });

  test("stays when another call, or none, was abandoned; what runs runs to its end", async () => {
    const queue = createQueue(1, 2);
    const { run, finish } = jobs(queue);
    const all = Promise.all([run("a"), run("b"), run("")]);
    for (const call of ["a", "x", ""]) queue.abandon(call);
    for (const number of [0, 1, 2]) finish(number);
    expect(await all).toEqual([0, 1, 2]);
  });

  test("too long is refused, however many places are free then, and what came later is done", async () => {
    const clock = { ms: 0 };
    const queue = new HashQueue({ concurrency: 1, maxWaiting: 5, maxWaitMs: 1000 }, () => clock.ms);
    const { run, finish, started } = jobs(queue);
    const first = run();
    expectRefused(run());
    clock.ms = 1;
    const patient = run();
    clock.ms = 1001;
    finish(0);
    finish(2);
    expect(await Promise.all([first, patient])).toEqual([0, 2]);
    expect(started).toEqual([0, 2]);
    await expectations();
  });

  test("is all refused when the queue is cleared", async () => {
    const queue = createQueue(1, 5);
    const { run, finish, started } = jobs(queue);
    const first = run("a");
    for (const call of ["b", ""]) expectRefused(run(call));
    queue.clear();
    finish(0);
    expect(await first).toBe(0);
    expect(started).toEqual([0]);
    await expectations();
  });

  const refusals: Promise<unknown>[] = [];
  const expectRefused = (job: Promise<unknown>) => void refusals.push(rejection(job));
  const expectations = async () => {
    for (const error of await Promise.all(refusals.splice(0))) expect(error).toMatchObject(refused);
  };
});
