import { mkdir, readFile, stat } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { embeddedDefaults } from "../../mixins/embedded/defaults.ts";

async function newDataDir(): Promise<string> {
  const dataDir = join(process.env["TEST_FOLDER"] ?? "", `defaults-${randomUUID()}`);
  await mkdir(dataDir);
  return dataDir;
}
const database = { PG_HOST: "db.internal", PG_DATABASE: "d", PG_USER: "u", PG_PASSWORD: "p" };

describe("embeddedDefaults: secrets", () => {
  test("are made once, kept for the next start, and readable by the owner alone", async () => {
    const dataDir = await newDataDir();
    const env = { DATA_DIR: dataDir, SERVICES: "api-gateway" };
    const first = await embeddedDefaults(env, silentLog);
    const second = await embeddedDefaults(env, silentLog);
    expect(first.env["SECRET_KEY"]).toHaveLength(43);
    expect(second.env["SECRET_KEY"]).toBe(first.env["SECRET_KEY"]);
    const file = join(dataDir, "secrets.json");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, "utf8")).toContain(first.env["SECRET_KEY"]);
  });

  test("are the same for 16 processes that start at once", async () => {
    const dataDir = await newDataDir();
    const starts = Array.from({ length: 16 }, () =>
      embeddedDefaults({ DATA_DIR: dataDir, SERVICES: "api-gateway" }, silentLog),
    );
    const keys = (await Promise.all(starts)).map(({ env }) => env["SECRET_KEY"]);
    expect(new Set(keys).size).toBe(1);
  });

  test("give way to configured ones; an empty variable counts as unset", async () => {
    const dataDir = await newDataDir();
    const SECRET_KEY = "configured-0123456789-abcdefghijklmnop";
    const configured = await embeddedDefaults({ DATA_DIR: dataDir, SERVICES: "api-gateway", SECRET_KEY }, silentLog);
    expect(configured.env["SECRET_KEY"]).toBe(SECRET_KEY);
    const empty = await embeddedDefaults({ DATA_DIR: dataDir, SERVICES: "api-gateway", SECRET_KEY: " " }, silentLog);
    expect(empty.env["SECRET_KEY"]).toHaveLength(43);
  });
});

describe("embeddedDefaults: what a node stands on", () => {
  test("a gateway gets neither a database nor an SMTP server", async () => {
    const base = await embeddedDefaults(
      { DATA_DIR: await newDataDir(), SERVICES: "grpc-gateway,api-gateway" },
      silentLog,
    );
    expect([base.env["PG_HOST"], base.env["EMAIL_HOST"]]).toEqual([undefined, undefined]);
    await base.stop();
  });

  test("the embedded database brings the pepper of its hashes along; a configured one gets none that could be lost", async () => {
    const base = await embeddedDefaults({ DATA_DIR: await newDataDir(), SERVICES: "auth" }, silentLog);
    expect(base.env["PASSWORD_PEPPER"]).toHaveLength(43);
    await base.stop();
    const configured = await embeddedDefaults(
      { ...database, DATA_DIR: await newDataDir(), SERVICES: "auth" },
      silentLog,
    );
    expect(configured.env["PASSWORD_PEPPER"]).toBeUndefined();
  });

  test("the service signs in to the embedded database with a role that owns nothing; the tables are another's", async () => {
    const base = await embeddedDefaults({ DATA_DIR: await newDataDir(), SERVICES: "auth" }, silentLog);
    const { database: used } = loadConfig(base.env);
    expect(used).toMatchObject({ user: "identity", owner: { user: "postgres" } });
    expect(used?.password).not.toBe(used?.owner?.password);
    await base.stop();
  });

  test("a configured database is left alone; a caught mail needs no login of the operator's server", async () => {
    const env = {
      ...database,
      EMAIL_HOST_USER: "shop@example.com",
      EMAIL_HOST_PASSWORD: "secret",
      EMAIL_USE_SSL: "True",
    };
    const base = await embeddedDefaults({ ...env, DATA_DIR: await newDataDir(), SERVICES: "mailer" }, silentLog);
    const { database: used, mail } = loadConfig(base.env);
    expect(used?.host).toBe("db.internal");
    expect(mail).toMatchObject({ host: "127.0.0.1", user: undefined, password: undefined, ssl: false });
    await base.stop();
  });

  test("a configured SMTP server is left alone", async () => {
    const env = { ...database, EMAIL_HOST: "smtp.internal", EMAIL_FROM: "no-reply@example.com" };
    const base = await embeddedDefaults({ ...env, DATA_DIR: await newDataDir(), SERVICES: "mailer" }, silentLog);
    expect(loadConfig(base.env).mail?.host).toBe("smtp.internal");
    await base.stop();
  });
});
