import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
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

/** A gateway in production stands on nothing but its port. */
let gateway: ServiceProcess | undefined;
afterEach(() => gateway?.kill());
async function startGateway(url: string): Promise<ServiceProcess> {
  const { NODE_ENV = "", SECRET_KEY = "" } = productionEnv;
  gateway = startProcess(
    {
      ...{ NODE_ENV, SECRET_KEY, SERVICES: "api-gateway", PUBLIC_URL: url },
      ...{ WEB_APP_BIND: "127.0.0.1", WEB_APP_PORT: String(await freePort()) },
    },
    { imports: [join(import.meta.dirname, "../support/nobodys-errors.ts")] },
  );
  await gateway.ready();
  return gateway;
}

describe("main: people reach it over http in production", () => {
  test.each([
    ["http://id.example.com", 1],
    ["https://id.example.com", 0],
  ])("%s: %d warning(s) that cookies are without Secure", async (url, count) => {
    const running = await startGateway(url);
    const warnings = running.logs().filter(({ level }) => level === "warn");
    expect(warnings.filter(({ msg }) => /PUBLIC_URL .* without Secure/.test(String(msg)))).toHaveLength(count);
  });
});

describe("main: an error that belongs to no request", () => {
  test.each([
    ["thrown", "SIGUSR2", "thrown where nobody catches"],
    ["a promise rejected", "SIGHUP", "rejected where nobody awaits"],
  ] as const)("%s: is one JSON line of the log, and the process ends with 1", async (_, signal, reason) => {
    const running = await startGateway("https://id.example.com");
    process.kill(running.pid, signal);
    expect([await running.exited, running.stderr()]).toEqual([{ code: 1, signal: null }, ""]);
    const errors = running.logs().filter(({ level }) => level === "error");
    expect(errors).toEqual([expect.objectContaining({ msg: "an error was not handled", reason })]);
  });
});
