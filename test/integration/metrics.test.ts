import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createServer } from "node:net";
import { once } from "node:events";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode } from "../../node.ts";
import { eventually } from "../support/eventually.ts";
import { registration } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { rolesClient } from "../support/roles-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let port: number;
const scrape = async (path = "/metrics", method = "GET") => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
};
/** Answers are remembered for a second. */
const shows = (pattern: RegExp) =>
  eventually(`the metrics show ${pattern.source}`, async () => pattern.exec((await scrape()).text) ?? undefined);

beforeAll(async () => {
  port = await freePort();
  service = await startService({ METRICS_PORT: String(port) });
});
afterAll(() => service.stop());

describe("the metrics' listener", () => {
  test("serves Prometheus' text format, each line of which is well-formed", async () => {
    const { status, type, text } = await scrape();
    expect([status, type]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    const form = /^(# (HELP|TYPE) [a-z][a-z0-9_]* .+|[a-z][a-z0-9_]*(\{([a-z]+="[^"\n]*",?)+\})? [0-9.e+-]+|)$/;
    expect(text.split("\n").filter((line) => !form.test(line))).toEqual([]);
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each([
    ["/", "GET", 404],
    ["/metrics", "POST", 405],
    ["/health/live", "GET", 404],
  ])("%s %s: %d, and nothing else is there", async (path, method, status) => {
    expect((await scrape(path, method)).status).toBe(status);
  });

  test("is not reachable through the API", async () => {
    expect((await service.client().get("/metrics")).status).toBe(404);
  });

  test("a port that is taken stops the start, by name", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const env = {
      ...service.env,
      SERVICES: "grpc-gateway",
      GRPC_SERVER_PORT: String(await freePort()),
      METRICS_PORT: String(typeof address === "object" ? address?.port : 0),
    };
    try {
      await expect(startNode(loadConfig(env), silentLog)).rejects.toThrow("METRICS_PORT");
    } finally {
      taken.close();
    }
  });
});

describe("the metrics", () => {
  test("tell requests by route and class of status, and nothing about people", async () => {
    const { email, ...body } = registration();
    const answer = await service.client().post("/api/v1/users/customers/", { email, ...body });
    expect(answer.status).toBe(201);
    const id = Number(answer.json()["id"]);
    expect((await service.client().get(`/api/v1/users/${id}/`)).status).toBe(200);
    expect((await service.client().get(`/api/v1/users/${email}/`)).status).toBe(400);
    await shows(/^identity_http_requests_total\{route="GET \/api\/v1\/users\/:id\/?",status="2xx"\} 1$/m);
    const { text } = await scrape();
    expect(text).toMatch(
      /^identity_http_requests_total\{route="POST \/api\/v1\/users\/customers\/?",status="2xx"\} 1$/m,
    );
    expect(text).toMatch(/^identity_http_request_seconds_count\{route="POST \/api\/v1\/users\/customers\/?"\} 1$/m);
    expect(text).not.toContain(email);
    expect(text).not.toContain(email.split("@")[0]);
  });

  test("tell calls of GetUserRole by status", async () => {
    const roles = rolesClient(service.grpcAddress);
    await roles.getUserRole("");
    roles.close();
    await shows(/^identity_grpc_calls_total\{status="INVALID_ARGUMENT"\} 1$/m);
    await shows(/^identity_grpc_call_seconds_count 1$/m);
  });

  test("tell memory and the event loop's delay", async () => {
    const { text } = await scrape();
    const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, "m").exec(text)?.[1]);
    expect(value("identity_process_resident_memory_bytes")).toBeGreaterThan(50_000_000);
    expect(value("identity_process_cpu_seconds_total")).toBeGreaterThan(0);
    expect(value("identity_event_loop_delay_p99_seconds")).toBeLessThan(5);
  });
});
