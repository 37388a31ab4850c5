import { afterEach, describe, expect, test } from "@jest/globals";
import { readdirSync, readFileSync } from "node:fs";
import bcrypt from "bcrypt";
import { silentLog } from "../../../../../lib/log.ts";
import { HashWorkers } from "../../../../../services/auth/hashing/hash-workers.ts";
import { memoryLog, rejection } from "../../../helpers.ts";

const hash = { kind: "hash", secret: "a-secret", cost: 4 } as const;
const unavailable = { type: "unavailable", data: { retryAfterSeconds: 1 } };
const script = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`);
/** Dies over a job of cost 5, answers others with the number of its thread. */
const mortal = (death: string) =>
  script(`
    import { parentPort, threadId } from "node:worker_threads";
    parentPort.on("message", ({ cost }) => { if (cost === 5) { ${death} } else parentPort.postMessage(threadId); });
  `);
const deadly = { ...hash, cost: 5 };

const open: HashWorkers[] = [];
const createWorkers = (file?: URL, log = silentLog): HashWorkers => {
  const workers = new HashWorkers(log, file);
  open.push(workers);
  return workers;
};
afterEach(async () => {
  for (const workers of open.splice(0)) await workers.close();
});

describe("HashWorkers: a job", () => {
  test("is done by a thread: the answer is a hash of the secret", async () => {
    const answer = await createWorkers().run(hash);
    expect(await bcrypt.compare(hash.secret, String(answer))).toBe(true);
  });

  test("does not stop the event loop", async () => {
    let turns = 0;
    const turning = setInterval(() => turns++, 1);
    await createWorkers().run({ ...hash, cost: 11 });
    clearInterval(turning);
    expect(turns).toBeGreaterThan(10);
  });

  test("that comes after another gets the same thread, one beside it a thread of its own", async () => {
    const workers = createWorkers(mortal(""));
    const first = await workers.run(hash);
    expect(await workers.run(hash)).toBe(first);
    const both = await Promise.all([workers.run(hash), workers.run(hash)]);
    expect(new Set(both).size).toBe(2);
    expect(both).toContain(first);
  });
});

const onLinux = process.platform === "linux" ? describe : describe.skip;
onLinux("HashWorkers: priority", () => {
  const nicenesses = () =>
    readdirSync("/proc/self/task").map((task) => {
      const stat = readFileSync(`/proc/self/task/${task}/stat`, "utf8");
      // proc_pid_stat(5): the 19th field; the second may hold blanks, and ends with the last parenthesis.
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
    });

  test("is lower for its threads, and the others keep theirs", async () => {
    const before = nicenesses();
    const usual = Math.max(...before);
    const workers = createWorkers();
    await Promise.all([workers.run(hash), workers.run(hash)]);
    const lower = nicenesses().filter((niceness) => niceness > usual);
    expect(lower).toHaveLength(2);
    await workers.close();
    expect(Math.max(...nicenesses())).toBe(usual);
  });
});

describe("HashWorkers: a thread that dies", () => {
  test.each([
    ["of an error", `throw new Error("broken")`, ["a hash worker died"]],
    ["by leaving", "process.exit(3)", []],
  ])("%s takes its job with it, and the next job gets another", async (_, death, logged) => {
    const log = memoryLog();
    const workers = createWorkers(mortal(death), log);
    const first = await workers.run(hash);
    expect(await rejection(workers.run(deadly))).toMatchObject(unavailable);
    expect(await workers.run(hash)).not.toBe(first);
    expect(log.lines.map(({ message }) => message)).toEqual(logged);
  });

  test("does not disturb the job of another", async () => {
    const workers = createWorkers(mortal("process.exit(3)"));
    const [dead, alive] = [rejection(workers.run(deadly)), workers.run(hash)];
    expect(await dead).toMatchObject(unavailable);
    expect(typeof (await alive)).toBe("number");
  });

  test("that cannot even be loaded is an unavailable job", async () => {
    const workers = createWorkers(script("syntax error"));
    expect(await rejection(workers.run(hash))).toMatchObject(unavailable);
  });
});

describe("HashWorkers: close", () => {
  test("ends the threads; what they were at is unavailable", async () => {
    const workers = createWorkers();
    await workers.run(hash);
    const running = rejection(workers.run({ ...hash, cost: 10 }));
    await workers.close();
    expect(await running).toMatchObject(unavailable);
  });

  test("without any thread is no error", async () => {
    await createWorkers().close();
  });
});
