import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  ConfigError,
  kafkaConfigOf,
  loadConfig,
  needs,
  readEnvironment,
  serviceNames,
  servicesOf,
  type Env,
} from "../../../lib/config.ts";
import { otherSecret, productionEnv, secret, thrown } from "../helpers.ts";

function problemsOf(env: Env): readonly string[] {
  const error = thrown(() => loadConfig(env));
  if (!(error instanceof ConfigError)) throw error;
  return error.problems;
}
const without = (...names: string[]): Env =>
  Object.fromEntries(Object.entries(productionEnv).filter(([name]) => !names.includes(name)));

/** As in the original's README, with the values that an operator would write. */
const operatorsFile = `
SECRET_KEY=django-insecure-3k@x!v0q9z_8w7e6r5t4y3u2i1o0p
WEB_APP_PROTOCOL=http
WEB_APP_HOST=0.0.0.0
WEB_APP_PORT=8000
GRPC_SERVER_PORT=50051
PG_HOST=postgres
PG_PORT=5432
PG_DATABASE=user
PG_USER=postgres
PG_PASSWORD=postgres
EMAIL_HOST=smtp.yandex.ru
EMAIL_HOST_USER=delivery@yandex.ru
EMAIL_HOST_PASSWORD=smtp-password
EMAIL_PORT=465
EMAIL_USE_SSL=True
KAFKA_BOOTSTRAP_SERVER_HOST=kafka
KAFKA_BOOTSTRAP_SERVER_PORT=29092
KAFKA_BROKER_USER=broker
KAFKA_BROKER_PASSWORD=broker-password
FIREBASE_STORAGE_BUCKET=bucket.appspot.com
GRAYLOG_HOST=graylog
GRAYLOG_PORT=12201
DJANGO_CONFIGURATION=Dev
`;

describe("loadConfig: the operators' file as it is", () => {
  const operators = parseEnv(operatorsFile);

  test("is enough for development", () => {
    expect(loadConfig(operators)).toMatchObject({
      production: false,
      services: serviceNames,
      publicUrl: "http://localhost:8000",
      web: { host: "127.0.0.1", port: 8000, secureCookies: false, corsOrigins: undefined, trustedProxyHops: 0 },
      grpc: { host: "127.0.0.1", port: 50051 },
      database: { host: "postgres", port: 5432, database: "user", user: "postgres", password: "postgres" },
      mail: { host: "smtp.yandex.ru", port: 465, ssl: true, user: "delivery@yandex.ru", from: "delivery@yandex.ru" },
      kafka: {
        brokers: ["kafka:29092"],
        user: "broker",
        password: "broker-password",
        mechanism: "plain",
        ssl: undefined,
      },
    });
  });

  test("several brokers: each with its own port, or the common one", () => {
    const several = { ...operators, KAFKA_BOOTSTRAP_SERVER_HOST: "kafka-1, kafka-2:9093,[::1],[::1]:9094" };
    expect(loadConfig(several).kafka?.brokers).toEqual(["kafka-1:29092", "kafka-2:9093", "[::1]:29092", "[::1]:9094"]);
  });

  test.each(["kafka-1,,kafka-2", "kafka-1 kafka-2", "kafka:port", "kafka:123456", "//kafka", "a:b:9092"])(
    "no list of brokers (%s): the variable is named, and its value is not repeated",
    (hosts) => {
      const says = "must be host names with commas, each with its port if it has one of its own (host:9093)";
      expect(problemsOf({ ...operators, KAFKA_BOOTSTRAP_SERVER_HOST: hosts })).toEqual([
        `KAFKA_BOOTSTRAP_SERVER_HOST ${says}`,
      ]);
    },
  );

  test("False is false", () => {
    expect(loadConfig({ ...operators, EMAIL_USE_SSL: "False" }).mail?.ssl).toBe(false);
  });

  test("in production its weak values and the missing address are told, all at once", () => {
    expect(problemsOf({ ...operators, NODE_ENV: "production" })).toEqual([
      "PUBLIC_URL is required when WEB_APP_HOST is 0.0.0.0 or not set",
      "SECRET_KEY is a default secret",
      "PG_PASSWORD is a default password",
    ]);
  });
});

describe("loadConfig: defaults", () => {
  test("a production node with what is required has the contract's defaults for the rest", () => {
    expect(loadConfig(productionEnv)).toMatchObject({
      production: true,
      logLevel: "info",
      dataDir: ".data",
      transporter: undefined,
      redisUrl: undefined,
      companyName: "Eat Express",
      web: { host: "0.0.0.0", port: 8000, corsOrigins: undefined, trustedProxyHops: 0 },
      grpc: { host: "0.0.0.0", port: 50051 },
      accessTokenTtl: 86_400,
      refreshTokenTtl: 864_000,
      sessionMaxAge: 7_776_000,
      verificationLinkTtl: 259_200,
      password: { hashCost: 10, pepper: undefined, previousPepper: undefined },
      secrets: { current: secret, previous: undefined },
    });
  });

  test("is frozen", () => {
    const config = loadConfig(productionEnv);
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("every role has a minimum age, and each can be set on its own", () => {
    const { minAge } = loadConfig({ ...productionEnv, MIN_AGE_COURIER: "21", MIN_AGE_CUSTOMER: "0" });
    expect(minAge).toEqual({ CU: 0, CO: 21, RM: 18, MO: 18 });
  });

  test.each([
    ["http", false],
    ["https", true],
  ])("cookies over %s: secure is %s", (protocol, secure) => {
    const env = { ...without("PUBLIC_URL"), WEB_APP_HOST: "id.example.com", WEB_APP_PROTOCOL: protocol };
    expect(loadConfig(env).web.secureCookies).toBe(secure);
  });

  test.each(["", "http", "https"])("links over https, WEB_APP_PROTOCOL=%s: cookies are Secure", (protocol) => {
    for (const url of ["https://id.example.com", "HTTPS://ID.example.com"]) {
      const env = { ...productionEnv, PUBLIC_URL: url, WEB_APP_PROTOCOL: protocol };
      expect(loadConfig(env).web.secureCookies).toBe(true);
    }
  });
});

describe("loadConfig: where links start", () => {
  test.each([
    [
      "host, protocol and port",
      { WEB_APP_PROTOCOL: "https", WEB_APP_HOST: "id.example.com", WEB_APP_PORT: "8443" },
      "https://id.example.com:8443",
    ],
    ["0.0.0.0, which nobody can open", { WEB_APP_HOST: "0.0.0.0" }, "http://localhost:8000"],
    ["nothing", {}, "http://localhost:8000"],
    [
      "PUBLIC_URL before all of them",
      { PUBLIC_URL: "https://id.example.com", WEB_APP_HOST: "other" },
      "https://id.example.com",
    ],
    ["PUBLIC_URL without its slashes", { PUBLIC_URL: "https://id.example.com/auth//" }, "https://id.example.com/auth"],
    ["PUBLIC_URL in capitals", { PUBLIC_URL: "HTTPS://ID.Example.com:443/Auth" }, "https://id.example.com/Auth"],
  ])("development, %s", (_, env, url) => {
    expect(loadConfig({ SECRET_KEY: secret, SERVICES: "api-gateway", ...env }).publicUrl).toBe(url);
  });

  test.each(["ftp://id.example.com", "id.example.com", "javascript:alert(1)", "//id.example.com"])(
    "PUBLIC_URL=%s is refused",
    (url) => {
      expect(problemsOf({ ...productionEnv, PUBLIC_URL: url })).toEqual([
        "PUBLIC_URL must be a URL that starts with http: or https://",
      ]);
    },
  );

  test.each(["me@id.example.com", "me:hidden@id.example.com", "id.example.com/?hidden", "id.example.com/#hidden"])(
    "PUBLIC_URL=https://%s is refused: what is more than a place would stand in every mail",
    (rest) => {
      expect(problemsOf({ ...productionEnv, PUBLIC_URL: `https://${rest}` })).toEqual([
        "PUBLIC_URL must have no name, password, query or fragment",
      ]);
    },
  );

  test("production, WEB_APP_HOST=0.0.0.0: PUBLIC_URL is required", () => {
    expect(problemsOf({ ...without("PUBLIC_URL"), WEB_APP_HOST: "0.0.0.0" })).toEqual([
      "PUBLIC_URL is required when WEB_APP_HOST is 0.0.0.0 or not set",
    ]);
  });

  test("production, neither host nor PUBLIC_URL: links to localhost are no default", () => {
    expect(problemsOf(without("PUBLIC_URL")).join()).toContain("PUBLIC_URL");
  });

  test.each(["a host", "::", "host/path"])("WEB_APP_HOST=%j makes no URL and is refused", (host) => {
    expect(problemsOf({ ...without("PUBLIC_URL"), WEB_APP_HOST: host }).join()).toContain("WEB_APP_HOST");
  });

  test("PUBLIC_URL must leave room for a picture's URL in the 200 characters that `review` stores", () => {
    const url = `https://${"a.".repeat(98)}co`;
    expect(problemsOf({ ...productionEnv, PUBLIC_URL: url }).join()).toContain("PUBLIC_URL");
  });
});

describe("loadConfig: metrics and the outbox", () => {
  test("no metrics unless asked for; on loopback in development, on every address in production", () => {
    expect(loadConfig(productionEnv).metrics).toBeUndefined();
    expect(loadConfig({ ...productionEnv, METRICS_PORT: "9464" }).metrics).toEqual({ host: "0.0.0.0", port: 9464 });
    const inside = { ...productionEnv, METRICS_PORT: "9464", METRICS_BIND: "10.0.0.5" };
    expect(loadConfig(inside).metrics).toEqual({ host: "10.0.0.5", port: 9464 });
    const development = { ...productionEnv, NODE_ENV: "development", METRICS_PORT: "9464" };
    expect(loadConfig(development).metrics).toEqual({ host: "127.0.0.1", port: 9464 });
  });

  test("published changes are kept for a week, or for as long as it says", () => {
    expect(loadConfig(productionEnv).outboxRetention).toBe(7 * 86_400);
    expect(loadConfig({ ...productionEnv, OUTBOX_RETENTION: "36h" }).outboxRetention).toBe(36 * 3600);
  });

  test("a command that needs Kafka alone reads nothing else, and names what is missing", () => {
    const env = {
      KAFKA_BOOTSTRAP_SERVER_HOST: "kafka",
      KAFKA_BROKER_USER: "u",
      KAFKA_BROKER_PASSWORD: "a-broker-password",
    };
    expect(kafkaConfigOf(env)).toMatchObject({ user: "u", mechanism: "plain" });
    for (const NODE_ENV of ["development", "production"]) {
      expect(thrown(() => kafkaConfigOf({ NODE_ENV }))).toMatchObject({
        problems: ["KAFKA_BOOTSTRAP_SERVER_HOST is required"],
      });
    }
    expect(thrown(() => kafkaConfigOf({ ...env, KAFKA_SASL_MECHANISM: "gssapi" }))).toBeInstanceOf(ConfigError);
  });
});

describe("loadConfig: TLS for mail", () => {
  const requires = (changes: Env) => loadConfig({ ...productionEnv, ...changes }).mail?.requireTls;

  test("in production nothing leaves the machine in the clear, unless somebody says so", () => {
    expect([requires({}), requires({ EMAIL_REQUIRE_TLS: "False" })]).toEqual([true, false]);
  });

  test.each(["localhost", "127.0.0.1", "127.1.2.3", "::1"])("%s is this machine: no TLS unless asked for", (host) => {
    expect(requires({ EMAIL_HOST: host })).toBe(false);
    expect(requires({ EMAIL_HOST: host, EMAIL_REQUIRE_TLS: "True" })).toBe(true);
  });

  test.each(["127.0.0.1.example.com", "localhost.example.com", "1.127.0.0.1"])("%s is not", (host) => {
    expect(requires({ EMAIL_HOST: host })).toBe(true);
  });

  test("in development a server without TLS is taken", () => {
    expect(requires({ NODE_ENV: "development" })).toBe(false);
  });

  test("a file that holds no certificate is told", () => {
    const problems = problemsOf({ ...productionEnv, EMAIL_TLS_CA: import.meta.filename });
    expect(problems).toEqual([expect.stringMatching(/^EMAIL_TLS_CA .*no certificate/)]);
  });
});

describe("loadConfig: what stops the start", () => {
  test("an empty production environment: every missing variable is named at once", () => {
    expect(problemsOf({ NODE_ENV: "production", WEB_APP_HOST: "0.0.0.0" })).toEqual(
      expect.arrayContaining([
        "PUBLIC_URL is required when WEB_APP_HOST is 0.0.0.0 or not set",
        "SECRET_KEY is required",
        "PG_HOST is required",
        "PG_DATABASE is required",
        "PG_USER is required",
        "PG_PASSWORD is required",
        "EMAIL_HOST is required",
        "EMAIL_FROM is required when EMAIL_HOST_USER is no e-mail address",
      ]),
    );
  });

  test("in production a node that publishes events must be told where Kafka is", () => {
    expect(problemsOf(without("KAFKA_BOOTSTRAP_SERVER_HOST")).join()).toContain("KAFKA_BOOTSTRAP_SERVER_HOST");
  });

  const bad: readonly (readonly [string, string])[] = [
    ["NODE_ENV", "staging"],
    ["EMAIL_REQUIRE_TLS", "perhaps"],
    ["EMAIL_TLS_CA", "/nowhere/ca.pem"],
    ["EMAIL_RATE_LIMIT", "0"],
    ["LOG_LEVEL", "verbose"],
    ["SERVICES", "auth,billing"],
    ["TRANSPORTER", "amqp://guest:guest@rabbit"],
    ["TRANSPORTER_TCP_PORT", "four thousand"],
    ["PUBLIC_URL", "id.example.com"],
    ["REDIS_URL", "http://:a-redis-password@redis"],
    ["SECRET_KEY", "too-short-a-secret"],
    ["SECRET_KEY_PREVIOUS", "too-short-a-secret"],
    ["WEB_APP_PROTOCOL", "gopher"],
    ["WEB_APP_PORT", "99999"],
    ["CORS_ORIGINS", "*"],
    ["TRUSTED_PROXY_HOPS", "eleven"],
    ["GRPC_SERVER_PORT", "-1"],
    ["PG_PORT", "5432x"],
    ["PG_PASSWORD", "postgres"],
    ["AUDIT_RETENTION", "29d"],
    ["EMAIL_PORT", "smtp"],
    ["EMAIL_USE_SSL", "maybe"],
    ["EMAIL_FROM", "Eat Express"],
    ["KAFKA_BOOTSTRAP_SERVER_PORT", "kafka"],
    ["KAFKA_SASL_MECHANISM", "gssapi"],
    ["KAFKA_SSL", "maybe"],
    ["METRICS_PORT", "0"],
    ["OUTBOX_RETENTION", "7 days"],
    ["ACCESS_TOKEN_TTL", "forever"],
    ["REFRESH_TOKEN_TTL", "10"],
    ["PASSWORD_HASH_COST", "4"],
    ["PASSWORD_PEPPER", "too-short-a-pepper"],
    ["PASSWORD_PEPPER_PREVIOUS", "too-short-a-pepper"],
    ["MIN_AGE_MODERATOR", "121"],
  ];

  test.each(bad)("%s=%s is refused, by its name and without its value", (name, value) => {
    const [problem = "", ...others] = problemsOf({ ...productionEnv, [name]: value });
    expect(others).toEqual([]);
    expect(problem).toMatch(new RegExp(`^${name} `));
    // A rule may list what it allows; what was given stands nowhere.
    expect(problem.replace(name, "").split(/[ ,]+/)).not.toContain(value);
  });

  test("all of them together are all told together, and no value is", () => {
    // These two decide which other variables are looked at, and how strictly.
    const others = bad.filter(([name]) => !["NODE_ENV", "SERVICES"].includes(name));
    const env = { ...productionEnv, ...Object.fromEntries(others) };
    const problems = problemsOf(env);
    expect(problems.map((problem) => problem.split(" ")[0]).sort()).toEqual(others.map(([name]) => name).sort());
    expect(thrown(() => loadConfig(env))).toMatchObject({
      message: `The configuration has ${problems.length} problem(s)`,
    });
    expect(problems.join("\n")).not.toMatch(
      /too-short|guest|redis-password|verbose|gopher|eleven|maybe|forever|gssapi/,
    );
  });

  const djangos = "django-insecure-3k@x!v0q9z_8w7e6r5t4y3u2i1o0p";
  test.each(["SECRET_KEY", "SECRET_KEY_PREVIOUS", "PASSWORD_PEPPER", "PASSWORD_PEPPER_PREVIOUS"])(
    "production, %s is one that everybody can read in the original's repository: refused, for all of them alike",
    (name) => {
      expect(problemsOf({ ...productionEnv, [name]: djangos })).toEqual([`${name} is a default secret`]);
      expect(() => loadConfig({ ...productionEnv, NODE_ENV: "development", [name]: djangos })).not.toThrow();
    },
  );

  const asUser = "a password that is its user's name";
  const host = (scheme: string, credentials: string) => `${scheme}://${credentials}@a.example.com`;
  test.each<[string, Record<string, string>, string]>([
    ["of NATS", { TRANSPORTER: host("nats", "nats:password") }, "TRANSPORTER has a default password"],
    ["of Redis", { TRANSPORTER: host("redis", ":redis") }, "TRANSPORTER has a default password"],
    ["of NATS", { TRANSPORTER: `${host("nats+tls", "svc:svc")},b` }, `TRANSPORTER has ${asUser}`],
    ["of the cache", { REDIS_URL: host("redis", ":password") }, "REDIS_URL has a default password"],
    ["of the cache", { REDIS_URL: host("rediss", "svc:svc") }, `REDIS_URL has ${asUser}`],
    ["of PostgreSQL", { PG_USER: "svc", PG_PASSWORD: "svc" }, `PG_PASSWORD is ${asUser}`],
    [
      "of its owner",
      { PG_MIGRATION_USER: "owner", PG_MIGRATION_PASSWORD: "owner" },
      `PG_MIGRATION_PASSWORD is ${asUser}`,
    ],
    ["of Kafka", { KAFKA_BROKER_USER: "svc", KAFKA_BROKER_PASSWORD: "SVC" }, `KAFKA_BROKER_PASSWORD is ${asUser}`],
    ["of SMTP", { EMAIL_HOST_USER: "svc", EMAIL_HOST_PASSWORD: "svc" }, `EMAIL_HOST_PASSWORD is ${asUser}`],
  ])("production, a default password %s (%j): refused", (_, changes, problem) => {
    expect(problemsOf({ ...productionEnv, ...changes })).toEqual([problem]);
    expect(() => loadConfig({ ...productionEnv, ...changes, NODE_ENV: "development" })).not.toThrow();
  });

  test("a token of years, or a session that outlives the longest", () => {
    const longest = { ACCESS_TOKEN_TTL: "30d", REFRESH_TOKEN_TTL: "90d" };
    expect(loadConfig({ ...productionEnv, ...longest })).toMatchObject({ accessTokenTtl: 30 * 86_400 });
    expect(problemsOf({ ...productionEnv, ACCESS_TOKEN_TTL: "9999999d", REFRESH_TOKEN_TTL: "91d" })).toEqual([
      "ACCESS_TOKEN_TTL must be at most 30d",
      "REFRESH_TOKEN_TTL must be at most 90d",
    ]);
  });

  test("a broker user without a password", () => {
    expect(problemsOf({ ...productionEnv, KAFKA_BROKER_USER: "broker" })).toEqual([
      "KAFKA_BROKER_PASSWORD is required",
    ]);
  });

  test("an owner of the tables without a password, or with a default one", () => {
    const env = { ...productionEnv, PG_MIGRATION_USER: "owner" };
    expect(problemsOf(env)).toEqual(["PG_MIGRATION_PASSWORD is required"]);
    expect(problemsOf({ ...env, PG_MIGRATION_PASSWORD: "postgres" })).toEqual([
      "PG_MIGRATION_PASSWORD is a default password",
    ]);
  });

  test.each(["2591999s", "3651d", "9999999d"])("AUDIT_RETENTION=%s: too short or too long", (value) => {
    expect(problemsOf({ ...productionEnv, AUDIT_RETENTION: value })).toEqual([
      "AUDIT_RETENTION must be from 30d to 3650d",
    ]);
  });

  test("a certificate that is not there", () => {
    expect(problemsOf({ ...productionEnv, KAFKA_SSL: "True", KAFKA_SSL_CA: "/nowhere/ca.pem" })).toEqual([
      "KAFKA_SSL_CA names a file that cannot be read",
    ]);
  });

  test("a low hash cost is for tests, not for production", () => {
    expect(loadConfig({ ...productionEnv, NODE_ENV: "test", PASSWORD_HASH_COST: "4" }).password.hashCost).toBe(4);
    expect(problemsOf({ ...productionEnv, NODE_ENV: "test", PASSWORD_HASH_COST: "3" })).toHaveLength(1);
  });
});

describe("loadConfig: what else can be set", () => {
  test("who owns the tables, where that is not the service's own role", () => {
    const owned = (PG_MIGRATION_USER: string) =>
      loadConfig({ ...productionEnv, PG_MIGRATION_USER, PG_MIGRATION_PASSWORD: "a-long-owner-password" }).database
        ?.owner;
    expect(owned("owner")).toEqual({ user: "owner", password: "a-long-owner-password" });
    expect([owned("identity"), loadConfig(productionEnv).database?.owner]).toEqual([undefined, undefined]);
  });

  test.each([
    [undefined, 400],
    ["30d", 30],
    ["3650d", 3650],
  ])("AUDIT_RETENTION=%s: %d days", (value, days) => {
    expect(loadConfig({ ...productionEnv, AUDIT_RETENTION: value }).auditRetention).toBe(days * 24 * 60 * 60);
  });

  test("a rotation: both secrets and both peppers", () => {
    const config = loadConfig({
      ...productionEnv,
      SECRET_KEY_PREVIOUS: otherSecret,
      PASSWORD_PEPPER: otherSecret,
      PASSWORD_PEPPER_PREVIOUS: secret,
    });
    expect(config.secrets).toEqual({ current: secret, previous: otherSecret });
    expect(config.password).toEqual({ hashCost: 10, pepper: otherSecret, previousPepper: secret });
  });

  test("Kafka over TLS without files trusts what Node trusts", () => {
    const { kafka } = loadConfig({ ...productionEnv, KAFKA_SSL: "True" });
    expect(kafka).toMatchObject({ user: undefined, password: undefined, ssl: {} });
  });

  test("without a bootstrap server there is no Kafka outside production", () => {
    expect(loadConfig({ ...without("KAFKA_BOOTSTRAP_SERVER_HOST"), NODE_ENV: "development" }).kafka).toBeUndefined();
  });

  test.each(["redis://redis:6379", "rediss://cache:a-redis-password@redis.example.com:6380/2"])(
    "REDIS_URL=%s",
    (url) => {
      expect(loadConfig({ ...productionEnv, REDIS_URL: url }).redisUrl).toBe(url);
    },
  );
});

describe("what a node needs", () => {
  test.each([
    ["auth", true, false],
    ["users", true, false],
    ["mailer", true, true],
    ["events", true, false],
    ["grpc-gateway", false, false],
    ["api-gateway", false, false],
  ] as const)("%s: database %s, mail %s", (service, database, mail) => {
    expect(needs([service])).toEqual({ database, mail, kafka: service === "events" });
  });

  test("gateways start in production without knowing the database or the SMTP server", () => {
    const { NODE_ENV, SECRET_KEY, PUBLIC_URL } = productionEnv;
    const config = loadConfig({ NODE_ENV, SECRET_KEY, PUBLIC_URL, SERVICES: "grpc-gateway,api-gateway" });
    expect([config.services, config.database, config.mail]).toEqual([
      ["grpc-gateway", "api-gateway"],
      undefined,
      undefined,
    ]);
  });

  test("what a gateway is told about the database and Redis all the same, it does not keep", () => {
    const REDIS_URL = "redis://:a-redis-password@redis";
    const config = loadConfig({ ...productionEnv, REDIS_URL, SERVICES: "api-gateway" });
    expect(JSON.stringify(config)).not.toMatch(/a-long-database-password|a-redis-password/);
  });

  test("the services of an environment are known before it is complete", () => {
    expect(servicesOf({ SERVICES: "users,auth" })).toEqual(["auth", "users"]);
    expect(servicesOf({})).toEqual(serviceNames);
    expect(servicesOf({ SERVICES: "billing" })).toEqual([]);
  });
});

describe("readEnvironment", () => {
  const names = ["NODE_ENV", "FROM_FILE", "IN_BOTH"];
  const folders = { withFile: "", bare: "" };
  beforeAll(() => {
    folders.withFile = mkdtempSync(join(tmpdir(), "config-"));
    folders.bare = mkdtempSync(join(tmpdir(), "config-"));
    writeFileSync(join(folders.withFile, ".env"), "FROM_FILE='a b' # why\nIN_BOTH=file\n");
  });
  afterAll(() => {
    for (const folder of Object.values(folders)) rmSync(folder, { recursive: true });
  });

  /** What is seen of the two variables by a process that was started in that folder with these of its own. */
  function seenIn(folder: keyof typeof folders, own: Record<string, string>): unknown {
    const before = { cwd: process.cwd(), env: process.env };
    try {
      process.chdir(folders[folder]);
      const others = Object.entries(before.env).filter(([name]) => !names.includes(name));
      process.env = { ...Object.fromEntries(others), ...own };
      const { FROM_FILE, IN_BOTH } = readEnvironment();
      return { FROM_FILE, IN_BOTH };
    } finally {
      process.chdir(before.cwd);
      process.env = before.env;
    }
  }

  test("development: .env is read", () => {
    expect(seenIn("withFile", {})).toEqual({ FROM_FILE: "a b", IN_BOTH: "file" });
  });

  test("development: the process's own variables beat it", () => {
    expect(seenIn("withFile", { IN_BOTH: "process" })).toEqual({ FROM_FILE: "a b", IN_BOTH: "process" });
  });

  test("production: .env is not even looked at", () => {
    const seen = seenIn("withFile", { NODE_ENV: "production", IN_BOTH: "process" });
    expect(seen).toEqual({ FROM_FILE: undefined, IN_BOTH: "process" });
  });

  test("without a file there is only the process's", () => {
    expect(seenIn("bare", { IN_BOTH: "process" })).toEqual({ FROM_FILE: undefined, IN_BOTH: "process" });
  });
});
