import { describe, expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { readChaosOptions } from "../../../scripts/chaos/options.ts";
import { figuresOf } from "../../../scripts/chaos/report.ts";

describe("the arguments of npm run chaos", () => {
  test("none: ten minutes, a seed by chance", () => {
    expect(readChaosOptions([])).toEqual({ minutes: 10, seed: expect.any(Number), clients: 6, relayKills: 0 });
  });

  test("all of them", () => {
    const args = ["--minutes", "0.5", "--seed=7", "--clients", "2", "--relay-kills", "200"];
    expect(readChaosOptions(args)).toEqual({ minutes: 0.5, seed: 7, clients: 2, relayKills: 200 });
  });

  test.each([
    [["--minutes", "-3"], /^--minutes needs a value$/],
    [["--minutes=-3"], /^--minutes must be a number from 0.1 to 1440$/],
    [["--minutes", "0"], /^--minutes must be/],
    [["--minutes", "1441"], /^--minutes must be/],
    [["--minutes", "1e2"], /^--minutes must be/],
    [["--minutes", ""], /^--minutes must be/],
    [["--minutes"], /^--minutes needs a value$/],
    [["--seed", "1.5"], /^--seed must be a whole number from 0 to 2147483647$/],
    [["--seed", "2147483648"], /^--seed must be/],
    [["--clients", "0"], /^--clients must be a whole number from 1 to 200$/],
    [["--relay-kills", "many"], /^--relay-kills must be/],
    [["--hours", "1"], /^there is no option --hours$/],
    [["10"], /^what stands alone is no option$/],
  ])("%j: refused, with the name of what is wrong and not its value", (args, sentence) => {
    expect(() => readChaosOptions(args)).toThrow(sentence);
  });

  test("the command: a sentence, how to call it, and EX_USAGE", () => {
    const script = join(import.meta.dirname, "../../../scripts/chaos.ts");
    const { status, stderr, stdout } = spawnSync(process.execPath, [script, "--minutes=x"], { encoding: "utf8" });
    expect([status, stdout]).toEqual([64, ""]);
    expect(stderr).toBe(
      "--minutes must be a number from 0.1 to 1440\n" +
        "Usage: npm run chaos -- [--minutes 10] [--seed n] [--clients 6] [--relay-kills 0]\n",
    );
  });
});

test("the report: of each kind, the longest silence around it and the longest way back", () => {
  const successes = [100, 200, 900, 1000, 5000];
  const faults = [
    { kind: "slow", began: 150, ended: 160 },
    { kind: "dead", began: 250, ended: 800 },
    { kind: "dead", began: 1100, ended: 3000 },
    { kind: "slow", began: 1100, ended: 1200 },
  ];
  const journal = { acknowledged: [], successes, signIns: 0, repeated: 0, unexpected: [] };
  expect(figuresOf({ faults, journal })).toEqual([
    { fault: "dead", times: 2, longestMs: 1900, longestSilenceMs: 4000, recoveryMs: 2000 },
    { fault: "slow", times: 2, longestMs: 100, longestSilenceMs: 4000, recoveryMs: 2000 },
  ]);
});
