import { describe, expect, test } from "@jest/globals";
import { HashQueue } from "../../../../services/auth/hash-queue.ts";
import { rejection } from "../../helpers.ts";

/** Jobs that end when they are told to, and the order in which they started. */
function jobs(queue: HashQueue) {
  const started: number[] = [];
  const gates: PromiseWithResolvers<unknown>[] = [];
  return {
    started,
    run: (): Promise<number> => {
      const gate = Promise.withResolvers<unknown>();
      const number = gates.push(gate) - 1;
      return queue.run(async () => {
        started.push(number);
        await gate.promise;
        return number;
      });
    },
    finish: (number: number) => gates[number]?.resolve(undefined),
    fail: (number: number) => gates[number]?.reject(new Error(`job ${number}`)),
  };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("HashQueue", () => {
  test("answers what the job answers", async () => {
    expect(await new HashQueue(1, 0).run(() => Promise.resolve("hash"))).toBe("hash");
  });

  test("runs as many jobs at once as it may, and the others in their order", async () => {
    const { run, finish, started } = jobs(new HashQueue(2, 10));
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
    const { run, finish, started } = jobs(new HashQueue(1, 2));
    const accepted = [run(), run(), run()];
    const refused = await rejection(run());
    expect(refused).toMatchObject({ type: "unavailable", data: { retryAfterSeconds: 2 } });
    for (const number of [0, 1, 2]) finish(number);
    expect(await Promise.all(accepted)).toEqual([0, 1, 2]);
    expect(started).toEqual([0, 1, 2]);
  });

  test("without room to wait the second job is refused, and the next one after the first is not", async () => {
    const { run, finish } = jobs(new HashQueue(1, 0));
    const first = run();
    await rejection(run());
    finish(0);
    await first;
    const third = run();
    finish(2);
    expect(await third).toBe(2);
  });

  test("a job that fails frees its place, and only its caller learns of it", async () => {
    const { run, fail, finish, started } = jobs(new HashQueue(1, 5));
    const [first, second] = [run(), run()];
    fail(0);
    expect(await rejection(first)).toEqual(new Error("job 0"));
    await settle();
    expect(started).toEqual([0, 1]);
    finish(1);
    expect(await second).toBe(1);
  });

  test("a job that throws before it is a promise frees its place as well", async () => {
    const queue = new HashQueue(1, 0);
    const broken = (): Promise<never> => {
      throw new Error("at once");
    };
    expect(await rejection(queue.run(broken))).toEqual(new Error("at once"));
    expect(await queue.run(() => Promise.resolve(1))).toBe(1);
  });

  test("after any mixture of jobs that end and fail its places are all free again", async () => {
    const queue = new HashQueue(3, 100);
    let [active, most] = [0, 0];
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, number) =>
        queue.run(async () => {
          most = Math.max(most, ++active);
          await settle();
          active--;
          if (number % 3 === 0) throw new Error("now and then");
        }),
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
