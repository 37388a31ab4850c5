import { afterEach, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { mkdtemp, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { request } from "node:http";
import { join } from "node:path";
import { configExitCode } from "../../lib/config.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { password, registration } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type Exit, type ServiceProcess } from "../support/process.ts";
import { createStand, linkIn, type TestStand } from "../support/service.ts";

let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
}, 60_000);

type Env = Record<string, string>;

const start = (env: Env): ServiceProcess => {
  const running = startProcess(env);
  cleanUps.push(() => running.kill());
  return running;
};

/** What somebody has who has just cloned the project, except that its ports are free. */
async function newcomer(): Promise<{ env: Env; client: () => Client; url: string }> {
  const dataDir = await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "newcomer-"));
  const [web, grpc] = [await freePort(), await freePort()];
  const env = { DATA_DIR: dataDir, WEB_APP_PORT: String(web), GRPC_SERVER_PORT: String(grpc), PASSWORD_HASH_COST: "4" };
  const url = `http://127.0.0.1:${web}`;
  return { env, url, client: () => new Client(url) };
}

async function production(changes: Env = {}): Promise<TestStand> {
  const stand = await createStand({
    NODE_ENV: "production",
    PASSWORD_HASH_COST: "10",
    // Named, as production asks, and away, which stops nothing.
    KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1",
    KAFKA_BOOTSTRAP_SERVER_PORT: "1",
    ...changes,
  });
  cleanUps.push(() => stand.stop());
  return stand;
}

const without = (env: Readonly<Env>, ...names: RegExp[]): Env =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !names.some((pattern) => pattern.test(name))));

/** Starts, and expects it to give up by itself. */
async function failedStart(env: Env): Promise<Exit & { stderr: string; stdout: string }> {
  const running = start(env);
  const exit = await running.exited;
  return { ...exit, stderr: running.stderr(), stdout: running.stdout() };
}

interface Caught {
  readonly to: string[];
  readonly text: string;
  readonly subject: string;
}
const mailbox = async (client: Client) => JSON.parse((await client.get("/dev/mailbox.json")).text) as Caught[];

describe("as a newcomer starts it", () => {
  test("first start, later start, kill -9, start again: quick, and the account stays", async () => {
    const { env, client } = await newcomer();
    const body = registration();
    const signIn = () => client().post("/api/v1/tokens/", { email: body.email, password });

    const began = Date.now();
    const first = start(env);
    await first.ready();
    expect((await client().get("/health/ready")).status).toBe(200);
    expect(Date.now() - began).toBeLessThan(10_000);

    const registering = client();
    expect((await registering.post("/api/v1/users/customers/", body)).status).toBe(201);
    const mail = await eventually("the mail is in the mailbox", async () =>
      (await mailbox(client())).find(({ to }) => to.includes(body.email)),
    );
    const verified = await registering.get(linkIn(mail as never), { headers: { accept: "application/json" } });
    expect(verified.status).toBe(200);
    expect((await client().get("/dev/mailbox/")).text).toContain(mail.subject);
    const access = registering.cookie("access_token") ?? "";
    await first.stop();

    const again = Date.now();
    const second = start(env);
    await second.ready();
    expect((await client().get("/health/ready")).status).toBe(200);
    expect(Date.now() - again).toBeLessThan(10_000);
    expect((await signIn()).status).toBe(200);
    const kept = await client().get("/api/v1/users/current/", { headers: { authorization: `Bearer ${access}` } });
    expect([kept.status, kept.json()]).toEqual([200, expect.objectContaining({ is_email_verified: true })]);
    await second.kill();

    const third = start(env);
    await third.ready();
    expect((await signIn()).status).toBe(200);
    await third.stop();
    await expect(postgresAnswers(env)).resolves.toBe(false);
  }, 60_000);

  test("a port in use: says which, exits with 1, and leaves no PostgreSQL behind", async () => {
    const { env } = await newcomer();
    await occupy(Number(env["WEB_APP_PORT"]));
    const failed = await failedStart(env);
    expect(failed.code).toBe(1);
    expect(failed.stdout + failed.stderr).toMatch(new RegExp(`EADDRINUSE.*${env["WEB_APP_PORT"] ?? ""}`));
    expect(await postgresAnswers(env)).toBe(false);
  });

  test("a wrong value: exits with 78 and leaves no PostgreSQL behind", async () => {
    const { env } = await newcomer();
    const failed = await failedStart({ ...env, ACCESS_TOKEN_TTL: "for ever" });
    expect([failed.code, failed.stderr]).toEqual([configExitCode, expect.stringContaining("ACCESS_TOKEN_TTL")]);
    expect(await postgresAnswers(env)).toBe(false);
  });

  test("a log level that does not exist: exits with 78 and says which variable", async () => {
    const { env } = await newcomer();
    const failed = await failedStart({ ...env, LOG_LEVEL: "chatty" });
    expect([failed.code, failed.stderr]).toEqual([configExitCode, expect.stringContaining("LOG_LEVEL must be one of")]);
  });

  test("SIGTERM while it starts: ends, and leaves no PostgreSQL behind", async () => {
    const { env } = await newcomer();
    const running = start(env);
    await eventually("PostgreSQL is up", async () => ((await postgresAnswers(env)) ? true : undefined));
    const began = Date.now();
    process.kill(running.pid, "SIGTERM");
    await running.exited;
    expect(Date.now() - began).toBeLessThan(15_000);
    await eventually("PostgreSQL is down", async () => ((await postgresAnswers(env)) ? undefined : true), 5000);
  });
});

describe("production", () => {
  test("empty environment: exits with 78 and lists all that is missing at once, on stderr", async () => {
    const failed = await failedStart({ NODE_ENV: "production" });
    expect(failed.code).toBe(configExitCode);
    const names = failed.stderr.match(/^ {2}[A-Z_]+/gm)?.map((name) => name.trim());
    expect(names).toEqual(
      expect.arrayContaining([
        "SECRET_KEY",
        "PG_HOST",
        "PG_DATABASE",
        "PG_USER",
        "PG_PASSWORD",
        "EMAIL_HOST",
        "EMAIL_FROM",
      ]),
    );
    expect(failed.stdout).toBe("");
  });

  test("weak and wrong values: all named at once, none repeated", async () => {
    const stand = await production();
    const values = {
      SECRET_KEY: "tooShortButSecret",
      PG_PASSWORD: "postgres",
      SERVICES: "nonsense",
      EMAIL_PORT: "notAPort",
      TRANSPORTER: "amqp://guest:hidden@host",
      PASSWORD_HASH_COST: "4",
    };
    const failed = await failedStart({ ...stand.env, ...values, PUBLIC_URL: "", WEB_APP_HOST: "0.0.0.0" });
    expect(failed.code).toBe(configExitCode);
    for (const name of ["SECRET_KEY", "SERVICES", "TRANSPORTER", "PASSWORD_HASH_COST", "PUBLIC_URL"]) {
      expect(failed.stderr).toMatch(new RegExp(`^ {2}${name} `, "m"));
    }
    for (const value of ["tooShortButSecret", "nonsense", "notAPort", "hidden"]) {
      expect(failed.stderr + failed.stdout).not.toContain(value);
    }
  });

  test.each([
    ["a SECRET_KEY of 31 bytes", "SECRET_KEY", "0123456789abcdefghijklmnopqrstu"],
    ["Django's insecure SECRET_KEY", "SECRET_KEY", "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz"],
    ["the default password of the database", "PG_PASSWORD", "postgres"],
    ["a SERVICES list with nonsense", "SERVICES", "nonsense"],
    ["a pepper of few bytes", "PASSWORD_PEPPER", "salt"],
  ])("%s: refused", async (_, name, value) => {
    const stand = await production();
    const failed = await failedStart({ ...stand.env, [name]: value });
    expect(failed.code).toBe(configExitCode);
    expect(failed.stderr.trim().split("\n")).toEqual([
      expect.any(String),
      expect.stringMatching(new RegExp(`^ {2}${name} `)),
    ]);
    if (value !== "postgres") expect(failed.stderr).not.toContain(value);
  });

  test("SERVICES=api-gateway: needs no database and no SMTP, serves no mailbox, logs JSON alone", async () => {
    const stand = await production({ SERVICES: "api-gateway" });
    const running = start(without(stand.env, /^PG_/, /^EMAIL_/, /^PASSWORD_/));
    await running.ready();
    expect((await stand.client().get("/health/live")).status).toBe(200);
    for (const path of ["/dev/mailbox/", "/dev/mailbox", "/dev/mailbox.json"]) {
      expect((await stand.client().get(path)).status).toBe(404);
    }
    await running.stop();
    expect(running.logs()).toHaveLength(running.stdout().trim().split("\n").length);
  });

  test("SIGTERM under a running request: it is finished, and the exit is 0", async () => {
    const stand = await production();
    const running = start(stand.env);
    await running.ready();
    const registerFour = () =>
      Array.from({ length: 4 }, () => stand.client().post("/api/v1/users/customers/", registration()));
    // Four connections are open and the threads that hash are up: on a busy machine that may take longer than a call.
    await Promise.all(registerFour());
    // A hash is under way, or waits for its turn: that takes longer than the signal.
    const answers = registerFour();
    const half = openHalfRequest(stand.url);
    await half.arrived;
    await stand.client().get("/health/live");
    const stopping = running.stop();
    half.finish(JSON.stringify(registration()));
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses).toEqual(Array(4).fill(201));
    expect(await half.status).toBe(201);
    await stopping;
    expect((await running.exited).code).toBe(0);
    await expect(stand.client().get("/health/live")).rejects.toThrow();
    expect(await stand.query("select from users")).toHaveLength(9);
  });

  test("a port in use: says which and exits with 1, in one JSON line", async () => {
    const stand = await production();
    await occupy(Number(stand.env["GRPC_SERVER_PORT"]));
    const running = start(stand.env);
    expect((await running.exited).code).toBe(1);
    const [line] = running.logs().filter(({ level }) => level === "error");
    expect(JSON.stringify(line)).toContain("EADDRINUSE");
    expect(JSON.stringify(line)).toContain(stand.env["GRPC_SERVER_PORT"]);
  });
});

async function occupy(port: number): Promise<void> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
}

async function postgresAnswers(env: Env): Promise<boolean> {
  const file = join(env["DATA_DIR"] ?? "", "postgres/data/postmaster.pid");
  const text = await readFile(file, "utf8").catch(() => "");
  return /^ready/m.test(text.split("\n")[7] ?? "");
}

/** A registration whose body is still on its way. */
function openHalfRequest(url: string) {
  const sent = request(`${url}/api/v1/users/couriers/`, {
    method: "POST",
    agent: false,
    headers: { "content-type": "application/json", "transfer-encoding": "chunked" },
  });
  const status = new Promise<number | undefined>((resolve, reject) => {
    sent.on("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("error", reject);
  });
  status.catch(() => undefined);
  const arrived = new Promise<void>((resolve) => {
    sent.on("socket", (socket) => socket.once("connect", () => resolve()));
  });
  sent.flushHeaders();
  return { status, arrived, finish: (body: string) => sent.end(body) };
}
