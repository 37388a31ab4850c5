import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { readBudgets } from "./budgets.ts";
import { roles, type Role } from "./roles.ts";
import { EnvReader, type Env } from "./env-reader.ts";
import { kafkaTls } from "./kafka-tls.ts";
import { mailConfig } from "./mail-config.ts";
import { serverTls } from "./tls-files.ts";
import { transporterConfig } from "./transporter-config.ts";

export const serviceNames = ["auth", "users", "mailer", "events", "grpc-gateway", "api-gateway"] as const;
export type ServiceName = (typeof serviceNames)[number];
export type { Env };
/** Everything that a node needs to know, read once and frozen. Times are in seconds. */
export type Config = Readonly<ReturnType<typeof readConfig>>;
export type DatabaseConfig = NonNullable<Config["database"]>;
/** One role at one database. */
export type DatabaseLogin = Omit<DatabaseConfig, "owner">;
export type MailConfig = NonNullable<Config["mail"]>;

/** `EX_CONFIG` of sysexits.h. */
export const configExitCode = 78;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The configuration has ${problems.length} problem(s)`);
    this.problems = problems;
  }
}

/** The only place that reads the process's environment. `.env` in the working directory is read outside production. */
export function readEnvironment(): Env {
  if (process.env["NODE_ENV"] === "production" || !existsSync(".env")) return process.env;
  return { ...parseEnv(readFileSync(".env", "utf8")), ...process.env };
}

/**
 * The names are those of the operators' files (CONTRACT.md section 4).
 * @throws {ConfigError} with every problem at once, naming variables and never their values
 */
export function loadConfig(env: Env): Config {
  const reader = new EnvReader(env);
  const config = readConfig(reader);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return Object.freeze(config);
}

/** Services that hold a database connection; the gateways do not even know its password. */
const onDatabase: readonly ServiceName[] = ["auth", "users", "mailer", "events"];

/** What a node with these services stands on. */
export const needs = (services: readonly ServiceName[]) => ({
  database: services.some((service) => onDatabase.includes(service)),
  mail: services.includes("mailer"),
  kafka: services.includes("events"),
});

/** The services that an environment asks for; what it names wrongly is `loadConfig`'s to tell. */
export const servicesOf = (env: Env): readonly ServiceName[] => new EnvReader(env).list("SERVICES", serviceNames);

const minAgeNames: Record<Role, string> = { CU: "CUSTOMER", CO: "COURIER", RM: "RESTAURANT_MANAGER", MO: "MODERATOR" };
const day = 24 * 60 * 60;

function readConfig(env: EnvReader) {
  const production = env.oneOf("NODE_ENV", ["development", "test", "production"], "development") === "production";
  const listenOn = production ? "0.0.0.0" : "127.0.0.1";
  const webPort = env.port("WEB_APP_PORT", 8000);
  const services = env.list("SERVICES", serviceNames);
  const needed = needs(services);
  const webProtocol = env.oneOf("WEB_APP_PROTOCOL", ["http", "https"], "http");
  const webUrl = publicUrl(env, production, webProtocol, webPort);

  return {
    production,
    logLevel: env.oneOf("LOG_LEVEL", ["trace", "debug", "info", "warn", "error", "silent"], "info"),
    dataDir: env.text("DATA_DIR", ".data"),
    services,
    transporter: transporterConfig(env, listenOn, production),
    companyName: env.text("COMPANY_NAME", "Eat Express"),
    publicUrl: webUrl,
    secrets: {
      current: env.secret("SECRET_KEY", production),
      previous: env.optionalSecret("SECRET_KEY_PREVIOUS", production),
    },

    web: {
      host: env.text("WEB_APP_BIND", listenOn),
      port: webPort,
      // Either says how browsers reach us: `WEB_APP_PROTOCOL=http` is left from before when the links are https.
      secureCookies: webProtocol === "https" || webUrl.startsWith("https:"),
      corsOrigins: env.origins("CORS_ORIGINS"),
      trustedProxyHops: env.integer("TRUSTED_PROXY_HOPS", 0, { min: 0, max: 10 }),
    },
    grpc: {
      host: env.text("GRPC_SERVER_HOST", listenOn),
      port: env.port("GRPC_SERVER_PORT", 50051),
      // Plaintext without a certificate, as the callers expect it.
      tls: serverTls(env, "GRPC_TLS"),
    },
    metrics: metricsConfig(env, listenOn),
    /** Seconds for which published changes stay in the outbox. */
    outboxRetention: env.duration("OUTBOX_RETENTION", 7 * day),
    redisUrl: services.includes("users") || services.includes("auth") ? redisUrl(env, production) : undefined,
    database: needed.database ? databaseConfig(env, production) : undefined,
    mail: needed.mail ? mailConfig(env, production) : undefined,
    kafka: needed.kafka ? kafkaConfig(env, production) : undefined,

    accessTokenTtl: env.duration("ACCESS_TOKEN_TTL", day, 30),
    // No session lives longer than the second, whoever uses it.
    refreshTokenTtl: env.duration("REFRESH_TOKEN_TTL", 10 * day, 90),
    sessionMaxAge: 90 * day,
    verificationLinkTtl: 3 * day,
    resetLinkTtl: 60 * 60,
    legacyTokensUntil: env.date("LEGACY_TOKENS_UNTIL"),
    auditRetention: auditRetention(env),
    budgets: readBudgets(env),
    password: {
      hashCost: env.integer("PASSWORD_HASH_COST", 10, { min: production ? 10 : 4, max: 16 }),
      pepper: env.optionalSecret("PASSWORD_PEPPER", production),
      previousPepper: env.optionalSecret("PASSWORD_PEPPER_PREVIOUS", production),
    },
    minAge: Object.fromEntries(
      roles.map((role) => [
        role,
        env.integer(`MIN_AGE_${minAgeNames[role]}`, role === "CU" ? 16 : 18, { min: 0, max: 120 }),
      ]),
    ) as Readonly<Record<Role, number>>,
  };
}

function metricsConfig(env: EnvReader, listenOn: string) {
  const host = env.text("METRICS_BIND", listenOn);
  if (env.optional("METRICS_PORT") === undefined) return undefined;
  return { host, port: env.integer("METRICS_PORT", 0, { min: 1, max: 65_535 }) };
}

/** A picture's URL has at most 200 characters (`review` stores no more), and the name of the picture needs some. */
const maxPublicUrl = 120;

/** As `URL` reads it (`HTTPS://APP.example.com` is https), without the slashes at its end: others put a path behind it. */
function normalUrl(env: EnvReader, text: string): string | undefined {
  const url = URL.parse(text);
  if (!url) return undefined;
  if (url.username + url.password + url.search + url.hash !== "") {
    env.problem("PUBLIC_URL", "must have no name, password, query or fragment");
  }
  const normal = (url.origin + url.pathname).replace(/\/+$/, "");
  if (normal.length > maxPublicUrl) env.problem("PUBLIC_URL", `has more than ${maxPublicUrl} characters`);
  return normal;
}

/** Where links start. The operators' files have `WEB_APP_HOST=0.0.0.0`, which nobody can open. */
function publicUrl(env: EnvReader, production: boolean, protocol: string, port: number): string {
  const local = `${protocol}://localhost:${port}`;
  const configured = env.url("PUBLIC_URL", ["http:", "https:"]);
  if (configured !== undefined) return normalUrl(env, configured) ?? local;
  const host = env.optional("WEB_APP_HOST");
  if (host !== undefined && host !== "0.0.0.0") {
    const url = URL.parse(`${protocol}://${host}:${port}`);
    if (url?.hostname === host.toLowerCase()) return `${protocol}://${host}:${port}`;
    env.problem("WEB_APP_HOST", "must be a host name");
    return local;
  }
  if (production) env.problem("PUBLIC_URL", "is required when WEB_APP_HOST is 0.0.0.0 or not set");
  return local;
}

function redisUrl(env: EnvReader, production: boolean): string | undefined {
  const text = env.url("REDIS_URL", ["redis:", "rediss:"]);
  const url = URL.parse(text ?? "");
  if (url) env.credentials("REDIS_URL", url, production);
  return text;
}

function databaseConfig(env: EnvReader, production: boolean) {
  const user = env.required("PG_USER");
  const owner = env.optional("PG_MIGRATION_USER");
  const ownerPassword = owner === undefined ? undefined : env.password("PG_MIGRATION_PASSWORD", owner, production);
  return {
    host: env.required("PG_HOST"),
    port: env.port("PG_PORT", 5432),
    database: env.required("PG_DATABASE"),
    user,
    password: env.password("PG_PASSWORD", user, production),
    /** Owns and migrates the tables, where that is somebody else than the service's own role. */
    owner: owner === undefined || owner === user ? undefined : { user: owner, password: ownerPassword ?? "" },
  };
}

/** Less is refused by the database itself (migrations/0007-audit.sql). */
function auditRetention(env: EnvReader): number {
  const seconds = env.duration("AUDIT_RETENTION", 400 * day);
  if (seconds < 30 * day || seconds > 3650 * day) env.problem("AUDIT_RETENTION", "must be from 30d to 3650d");
  return seconds;
}

/**
 * For a command that talks to Kafka and to nothing else.
 * @throws {ConfigError} also when no Kafka is configured
 */
export function kafkaConfigOf(env: Env): NonNullable<Config["kafka"]> {
  const reader = new EnvReader(env);
  const kafka = kafkaConfig(reader, env["NODE_ENV"] === "production");
  if (!kafka && reader.problems.length === 0) reader.required("KAFKA_BOOTSTRAP_SERVER_HOST");
  if (!kafka || reader.problems.length > 0) throw new ConfigError(reader.problems);
  return kafka;
}

function kafkaConfig(env: EnvReader, production: boolean) {
  const name = "KAFKA_BOOTSTRAP_SERVER_HOST";
  const host = production ? env.required(name) : env.optional(name);
  const port = env.port("KAFKA_BOOTSTRAP_SERVER_PORT", 9092);
  const user = env.optional("KAFKA_BROKER_USER");
  const settings = {
    brokers: brokersOf(env, name, host ?? "", port),
    user,
    password: user === undefined ? undefined : env.password("KAFKA_BROKER_PASSWORD", user, production),
    mechanism: env.oneOf("KAFKA_SASL_MECHANISM", ["plain", "scram-sha-256", "scram-sha-512"], "plain"),
    ssl: kafkaTls(env),
  };
  return host === undefined ? undefined : settings;
}

/** Names with commas; whoever has a port of its own has it behind its name. */
function brokersOf(env: EnvReader, name: string, hosts: string, port: number): string[] {
  const brokers = hosts.split(",").map((host) => host.trim());
  const isBroker = (host: string) => /^(?:\[[0-9a-f:]+\]|[^\s:/]+)(?::[0-9]{1,5})?$/i.test(host);
  if (hosts !== "" && !brokers.every(isBroker)) {
    env.problem(name, "must be host names with commas, each with its port if it has one of its own (host:9093)");
  }
  return brokers.map((host) => (/:[0-9]+$/.test(host) ? host : `${host}:${port}`));
}
