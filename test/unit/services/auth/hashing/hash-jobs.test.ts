import { describe, expect, jest, test } from "@jest/globals";
import { createHash, pbkdf2Sync } from "node:crypto";
import bcrypt from "bcrypt";
import { costOf } from "../../../../../services/auth/hashing/bcrypt-form.ts";
import { decoyOf } from "../../../../../services/auth/django-hashes.ts";
import { runHashJob, type HashJob } from "../../../../../services/auth/hashing/hash-jobs.ts";

const [secret, wrong] = ["a-secret", "another-secret"];
const hashAt = (cost: number) => bcrypt.hashSync(secret, cost);
const compare = (typed: string, hash: string | undefined, cost: number): HashJob => ({
  kind: "compare",
  secret: typed,
  hash,
  cost,
  password: typed,
  dearest: undefined,
});

/** Blowfish rounds of all compares that a job makes: the time that it takes, without a clock. */
function workOf(job: HashJob): number {
  const compared = jest.spyOn(bcrypt, "compareSync");
  try {
    runHashJob(job);
    return compared.mock.calls.reduce((rounds, [, hash]) => rounds + 2 ** costOf(hash), 0);
  } finally {
    compared.mockRestore();
  }
}

describe("hash", () => {
  test("is one of the given cost that the secret matches", () => {
    const hash = String(runHashJob({ kind: "hash", secret, cost: 5 }));
    expect([costOf(hash), bcrypt.compareSync(secret, hash)]).toEqual([5, true]);
  });
});

describe("compare", () => {
  test.each([4, 5, 6, 7])("with a hash of cost %d tells right from wrong, whatever the cost is today", (stored) => {
    const hash = hashAt(stored);
    expect(runHashJob(compare(secret, hash, 6))).toBe(true);
    expect(runHashJob(compare(wrong, hash, 6))).toBe(false);
  });

  test("with nothing matches nothing", () => {
    expect(runHashJob(compare(secret, undefined, 4))).toBe(false);
  });

  test.each([
    ["no hash", undefined],
    ["a hash of today's cost", hashAt(8)],
    ["one of the cost before", hashAt(7)],
    ["one of the least cost", hashAt(4)],
  ])("with %s is exactly the work of one compare of today's cost, right or wrong", (_, hash) => {
    expect([workOf(compare(wrong, hash, 8)), workOf(compare(secret, hash, 8))]).toEqual([2 ** 8, 2 ** 8]);
  });

  test("with a decoy really computes: it takes as long as with a hash", () => {
    const times = { decoy: Infinity, hash: Infinity };
    const hash = hashAt(9);
    for (let i = 0; i < 5; i++) {
      for (const name of ["decoy", "hash"] as const) {
        const before = process.threadCpuUsage();
        runHashJob(compare(wrong, name === "hash" ? hash : undefined, 9));
        times[name] = Math.min(times[name], process.threadCpuUsage(before).user);
      }
    }
    expect(times.decoy / times.hash).toBeGreaterThan(0.7);
    expect(times.decoy / times.hash).toBeLessThan(1.4);
  });
});

describe("compare-django", () => {
  const digest = createHash("sha256").update(secret).digest("hex");
  const hash = `bcrypt_sha256$${bcrypt.hashSync(digest, 4)}`;
  const job = (password: string): HashJob => ({ kind: "compare-django", password, hash, cost: 6, dearest: undefined });

  test("tells right from wrong", () => {
    expect([runHashJob(job(secret)), runHashJob(job(wrong))]).toEqual([true, false]);
  });

  test("is never less work than for an address that nobody has", () => {
    expect(workOf(job(wrong))).toBeGreaterThanOrEqual(2 ** 6);
  });
});

describe("while hashes of Django's are stored", () => {
  const pbkdf2 = (iterations: number, password: string) =>
    `pbkdf2_sha256$${iterations}$salt$${pbkdf2Sync(password, "salt", iterations, 32, "sha256").toString("base64")}`;
  const dearest = decoyOf(pbkdf2(600_000, secret));
  const own = (typed: string): HashJob => ({ ...compare(typed, hashAt(4), 4), dearest }) as HashJob;
  const unknown = (typed: string): HashJob => ({ ...compare(typed, undefined, 4), dearest }) as HashJob;
  const imported = (typed: string, iterations: number): HashJob => {
    return { kind: "compare-django", password: typed, hash: pbkdf2(iterations, secret), cost: 4, dearest };
  };
  /** Milliseconds of this thread, of each the best of a few, in turns: what slows the machine down slows all of them. */
  const cpuOf = (...jobs: readonly HashJob[]): number[] => {
    const best = jobs.map(() => Infinity);
    for (let nth = 0; nth < 5; nth++)
      for (const [of, job] of jobs.entries()) {
        const before = process.threadCpuUsage();
        runHashJob(job);
        best[of] = Math.min(best[of] ?? Infinity, process.threadCpuUsage(before).user / 1000);
      }
    return best;
  };

  test.each([
    ["without spaces around it", wrong],
    ["with spaces around it, which the original took away", ` ${wrong} `],
  ])("25 a wrong password %s takes as long, whatever is stored", (_, typed) => {
    const [without = 0, ...times] = cpuOf(
      compare(typed, undefined, 4),
      unknown(typed),
      own(typed),
      imported(typed, 600_000),
      imported(typed, 150_000),
    );
    expect(Math.max(...times) / Math.min(...times)).toBeLessThan(1.25);
    expect(Math.min(...times)).toBeGreaterThan(10 * without);
  });

  test("a right one takes no longer than without them", () => {
    expect(runHashJob(own(secret))).toBe(true);
    const [right = 0, refused = 0] = cpuOf(own(secret), own(wrong));
    expect(right).toBeLessThan(refused / 10);
    expect(runHashJob(imported(secret, 150_000))).toBe(true);
    const [found = 0, missed = 0] = cpuOf(imported(secret, 150_000), imported(wrong, 150_000));
    expect(found).toBeLessThan(missed / 2);
  });
});
