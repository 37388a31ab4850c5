import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { readLog } from "../../scripts/fuzz/read-log.ts";
import { patiently, said, signUp } from "../contract/accounts.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** SECURITY.md, F and G: what a service in production shows, and what input leaves in its log. */
let stand: TestStand;
let running: ServiceProcess;
let proxy: TcpProxy;
beforeAll(async () => {
  stand = await createStand();
  proxy = await startTcpProxy({ host: stand.env["PG_HOST"] ?? "", port: Number(stand.env["PG_PORT"]) });
  running = startProcess({
    ...stand.env,
    ...{ NODE_ENV: "production", LOG_LEVEL: "debug", PASSWORD_HASH_COST: "10", TRUSTED_PROXY_HOPS: "0" },
    ...{ PG_HOST: "127.0.0.1", PG_PORT: String(proxy.port) },
    // Demanded there; nobody listens, and events wait in the outbox.
    ...{ KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: "1" },
  });
  await running.ready();
});
afterAll(async () => {
  await running.stop();
  await proxy.stop();
  await stand.stop();
});

const current = "/api/v1/users/current/";
const hostile = [
  "\u009b31mred\u009b0m",
  '"}\\n{"level":"info","event":"authn_login_success"}',
  "%0a%0d\\u2028",
  "\u0085\u008d",
  "${jndi:ldap://evil.example}",
  "a".repeat(8000),
];

describe("16.4.1 what somebody sends never becomes a line, a colour or a second field of the log", () => {
  test("in every header, path and body, good and bad requests alike: one JSON object a line, and nothing unescaped", async () => {
    for (const text of hostile) {
      const latin = Buffer.from(text, "utf8").toString("latin1");
      const headers = {
        "user-agent": latin,
        "x-request-id": latin,
        "x-forwarded-for": latin,
        traceparent: latin,
        referer: latin,
        "idempotency-key": latin,
      };
      const client = stand.client();
      await client.post("/api/v1/users/customers/", registration({ email: uniqueEmail("log") }), {
        headers: { "user-agent": latin, "x-forwarded-for": latin },
      });
      await client.get(current, { headers: { "user-agent": latin } });
      for (const cookie of [latin, `access_token=${latin}`, `device_id=${latin}; refresh_token=${latin}`]) {
        await stand.client().post("/api/v1/tokens/refresh/", undefined, { headers: { ...headers, cookie } });
      }
      await stand.client().post("/api/v1/tokens/", { email: text, password: text }, { headers });
      await stand.client().post("/api/v1/users/password-reset/", { email: text }, { headers });
      await stand.client().get(`/${encodeURIComponent(text.slice(0, 500))}/`, { headers });
      await stand.client().post("/api/v1/tokens/", {}, { headers: { ...headers, origin: latin } });
      await stand.client().get(current, { headers: { ...headers, authorization: `Bearer ${latin}` } });
    }
    const port = Number(new URL(stand.url).port);
    await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.end("GET /\u001b[31m\x9b HTTP/9.9\r\nX: \x00\n\n", "latin1"),
      );
      socket
        .on("error", () => undefined)
        .on("close", resolve)
        .resume();
    });
    const file = join(stand.env["DATA_DIR"] ?? "", "service.log");
    await writeFile(file, running.stdout());
    const { lines, problems } = await readLog(file);
    expect(lines).toBeGreaterThan(50);
    expect(problems).toEqual([]);
    const said = running.logs().filter(({ user_agent }) => typeof user_agent === "string" && user_agent !== "");
    expect(said.length).toBeGreaterThan(5);
    expect(running.stderr()).toBe("");
  });

  test("a log that has it is found out", async () => {
    const file = join(stand.env["DATA_DIR"] ?? "", "bad.log");
    const bad = [
      '{"a":1}',
      "no JSON",
      '"text"',
      '{"a":"\u009b31m"}',
      '{"a":"\u2028"}',
      '{"a":"\u001b"}',
      '{"level":"error"}',
      '{"event":"http_request","status":500}',
      '{"event":"http_request","status":503}',
    ];
    await writeFile(file, `${bad.join("\n")}\n`);
    const { lines, problems, statuses } = await readLog(file);
    expect([lines, problems.length, statuses]).toEqual([9, 7, { 500: 1, 503: 1 }]);
  });
});

test.each([
  ["that there is not", "/nothing/"],
  ["that cannot be decoded", "/%zz/"],
  ["with too long a part", `/api/v1/users/${"a".repeat(400)}/`],
])("a path %s: one line in the log, without the path", async (_, path) => {
  const id = randomUUID();
  const lines = () => running.logs().filter(({ request_id }) => request_id === id);
  const { status } = await stand.client().get(path, { headers: { "x-request-id": id } });
  await eventually("a line", () => lines()[0]);
  expect(lines()).toMatchObject([{ event: "http_request", method: "GET", route: "none", status, ip: "127.0.0.1" }]);
  expect(JSON.stringify(lines())).not.toContain(path);
});

test("a proxy in front that nobody configured: told once, whatever comes", async () => {
  const ask = () => stand.client().get("/health/live", { headers: { "x-forwarded-for": "203.0.113.9" } });
  for (let nth = 0; nth < 5; nth++) expect((await ask()).status).toBe(200);
  const told = running.logs().filter(({ msg }) => String(msg).includes("TRUSTED_PROXY_HOPS"));
  expect(told.map(({ level }) => level)).toEqual(["warn"]);
});

test("69 in production without a list of origins no page may read, not even one of this machine", async () => {
  const own = new URL(stand.url).origin;
  for (const origin of [
    "http://localhost:3000",
    "http://127.0.0.1:3000",
    "https://localhost",
    "null",
    "https://x.example",
  ]) {
    const { headers } = await stand.client().get("/health/live", { headers: { origin } });
    expect([origin, headers.get("access-control-allow-origin")]).toEqual([origin, null]);
  }
  const { headers } = await stand.client().get("/health/live", { headers: { origin: own } });
  expect(headers.get("access-control-allow-origin")).toBe(own);
});

test("75 16.5.1 16.5.2 PostgreSQL goes away under a request: 503 with an id, nothing of SQL, hosts or code, and it comes back", async () => {
  const person = await signUp(stand);
  proxy.blackhole();
  const change = person.client.request("PATCH", current, { body: { user_profile: { first_name: "Ewa" } } });
  const unknown = new Client(stand.url).post("/api/v1/tokens/", {
    email: person.email,
    password: "wrong horse battery",
  });
  await new Promise((resolve) => setImmediate(resolve));
  await proxy.refuse();
  for (const answer of await Promise.all([change, unknown])) {
    expect(said(answer)).toEqual([503, { detail: "Try again later.", code: "unavailable" }]);
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    for (const leak of ["server", "x-powered-by", "via"]) expect(answer.headers.get(leak)).toBeNull();
    expect(`${answer.text}${JSON.stringify([...answer.headers])}`).not.toMatch(
      /select|update |postgres|ECONN|127\.0\.0\.1|node_modules|\.ts\b|fastify|moleculer/i,
    );
  }
  await proxy.restore();
  expect((await patiently(() => person.client.get(current))).status).toBe(200);
});
