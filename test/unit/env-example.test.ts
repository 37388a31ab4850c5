import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig, type Env } from "../../lib/config.ts";

const text = readFileSync(join(import.meta.dirname, "../../.env.example"), "utf8");
const setting = /^#([A-Z][A-Z0-9_]*)=/gm;
const names = [...text.matchAll(setting)].map(([, name = ""]) => name);
const required = {
  SECRET_KEY: "a-secret-key-for-tests-0123456789-abcdef",
  PG_HOST: "127.0.0.1",
  PG_DATABASE: "identity",
  PG_USER: "identity",
  PG_PASSWORD: "a password",
  EMAIL_HOST: "127.0.0.1",
  EMAIL_FROM: "no-reply@example.com",
};

/** Some are only read when others ask for them. */
const unlocking: Env = {
  PG_MIGRATION_USER: "owner",
  EMAIL_HOST_USER: "shop@example.com",
  KAFKA_BROKER_USER: "user",
  KAFKA_SSL: "True",
};

function namesThatConfigReads(): string[] {
  const read = new Set<string>();
  const recording = new Proxy<Env>(unlocking, {
    get(env, name) {
      read.add(String(name));
      return env[String(name)];
    },
  });
  expect(() => loadConfig(recording)).toThrow(ConfigError);
  return [...read];
}

describe(".env.example", () => {
  test("tells every variable that the configuration reads, and no other, once", () => {
    expect(names.toSorted()).toEqual(namesThatConfigReads().toSorted());
  });

  test("with every # taken away, is what holds without it", () => {
    const told = Object.entries(parseEnv(text.replaceAll(setting, "$1=")));
    const defaults = Object.fromEntries(told.filter(([, value]) => value !== ""));
    expect(Object.keys(defaults).length).toBeGreaterThan(20);
    expect(loadConfig({ ...required, ...defaults })).toEqual(loadConfig(required));
  });

  test("changes nothing when it is copied as it is", () => {
    expect(parseEnv(text)).toEqual({});
  });
});
