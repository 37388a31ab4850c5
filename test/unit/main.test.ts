import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { productionEnv } from "./helpers.ts";

/** A production start with a configuration that is refused: nothing is connected to, nothing is opened. */
const start = (changes: Record<string, string>) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "../../main.ts")], {
    env: { PATH: process.env["PATH"], ...productionEnv, ...changes },
    encoding: "utf8",
    timeout: 20_000,
  });

describe("main: a configuration that is refused", () => {
  test("exits with EX_CONFIG and names every variable, no value and no stack", () => {
    const { status, stdout, stderr } = start({ SECRET_KEY: "short-secret", PG_PORT: "not-a-port", PG_HOST: "" });
    expect([status, stdout]).toEqual([78, ""]);
    expect(stderr.trimEnd().split("\n").slice(1)).toEqual([
      "  SECRET_KEY has fewer than 32 bytes",
      "  PG_HOST is required",
      "  PG_PORT must be a whole number from 0 to 65535",
    ]);
    expect(stderr).not.toMatch(/short-secret|not-a-port| at /);
  });

  test.each(["verbose", "INFO", ""])("LOG_LEVEL=%j: the same as for every other variable", (level) => {
    const { status, stderr } = start({ LOG_LEVEL: level, PG_HOST: "" });
    expect([status, stderr.includes("PG_HOST is required")]).toEqual([78, true]);
  });
});
