import { randomBytes, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { needs, servicesOf, type Env } from "../../lib/config.ts";
import type { Log } from "../../lib/log.ts";

export interface Embedded {
  /** The environment with everything filled in that was unset. */
  readonly env: Env;
  stop(): Promise<void>;
}

/** What is unset outside production gets a working default on this machine: secrets, PostgreSQL and an SMTP server. */
export async function embeddedDefaults(env: Env, log: Log): Promise<Embedded> {
  const dataDir = env["DATA_DIR"] ?? ".data";
  const stops: (() => Promise<void>)[] = [];
  const { SECRET_KEY, PASSWORD_PEPPER } = await developmentSecrets(dataDir);
  const filled: Record<string, string | undefined> = { SECRET_KEY, ...withoutEmpty(env) };

  const needed = needs(servicesOf(env));

  if (needed.database && filled["PG_HOST"] === undefined) {
    const { startEmbeddedPostgres } = await import("./postgres.ts");
    const postgres = await startEmbeddedPostgres({ dataDir, database: "identity", log });
    stops.push(() => postgres.stop());
    // Lies beside the hashes that depend on it, and goes with them: a configured database gets no pepper that can be lost.
    filled["PASSWORD_PEPPER"] ??= PASSWORD_PEPPER;
    Object.assign(filled, {
      PG_HOST: postgres.host,
      PG_PORT: String(postgres.port),
      PG_DATABASE: postgres.database,
      PG_USER: postgres.service.user,
      PG_PASSWORD: postgres.service.password,
      PG_MIGRATION_USER: postgres.user,
      PG_MIGRATION_PASSWORD: postgres.password,
    });
  }
  if (needed.mail && filled["EMAIL_HOST"] === undefined) {
    const { startMailCatcher } = await import("./mail-catcher.ts");
    const catcher = await startMailCatcher({ dataDir, log });
    stops.push(() => catcher.stop());
    // The user and its password belong to a server that we do not talk to.
    Object.assign(filled, { EMAIL_HOST: "127.0.0.1", EMAIL_PORT: String(catcher.port), EMAIL_USE_SSL: undefined });
    Object.assign(filled, { EMAIL_HOST_USER: undefined, EMAIL_HOST_PASSWORD: undefined });
    filled["EMAIL_FROM"] ??= "no-reply@localhost.localdomain";
  }
  return {
    env: filled,
    stop: async () => {
      for (const stop of stops.reverse()) await stop();
    },
  };
}

const withoutEmpty = (env: Env): Env => Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim()));

interface Secrets {
  readonly SECRET_KEY: string;
  readonly PASSWORD_PEPPER: string;
}

/** Made once and kept, so that a restart signs nobody out. Of several processes that start at once one makes them. */
async function developmentSecrets(dataDir: string): Promise<Secrets> {
  const file = join(dataDir, "secrets.json");
  await mkdir(dataDir, { recursive: true });
  const secret = () => randomBytes(32).toString("base64url");
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify({ SECRET_KEY: secret(), PASSWORD_PEPPER: secret() }), { mode: 0o600 });
  // A link appears whole or not at all, and only where there is none.
  await link(draft, file).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  });
  await rm(draft);
  return JSON.parse(await readFile(file, "utf8")) as Secrets;
}
