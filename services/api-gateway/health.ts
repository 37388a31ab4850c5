import type { FastifyInstance } from "fastify";
import { rule } from "../../lib/schema.ts";
import type { Page } from "./openapi.ts";

export type Status = "ok" | "degraded" | "down";
/** One dependency, asked at the time of the request. */
export type Check = () => Promise<Status>;

const healthAnswer = rule({
  type: "object",
  strict: true,
  props: {
    status: { type: "enum", values: ["ok", "degraded", "down"] },
    checks: { type: "object", strict: "remove", props: {}, description: "Status by dependency." },
  },
});

/** For OpenAPI. */
export const healthPages: readonly Page[] = [
  {
    method: "GET",
    path: "/health/live",
    summary: "Whether the process answers.",
    statuses: [200],
    answers: healthAnswer,
  },
  { method: "GET", path: "/health/ready", summary: "What it can do now.", statuses: [200, 503], answers: healthAnswer },
];

/** A question opens connections to SMTP and Kafka: however many ask, it is put once in this time. */
const freshMs = 1000;

function rememberFor(milliseconds: number, check: Check): Check {
  let last: { readonly at: number; readonly answer: Promise<Status> } | undefined;
  return () => {
    if (!last || performance.now() - last.at > milliseconds) last = { at: performance.now(), answer: check() };
    return last.answer;
  };
}

/** Liveness says that the process answers; readiness, what it can do. Names of dependencies and nothing about them. */
export function serveHealth(server: FastifyInstance, checks: Readonly<Record<string, Check>>): void {
  server.get("/health/live", () => ({ status: "ok", checks: {} }));
  const remembered = Object.entries(checks).map(([name, check]) => [name, rememberFor(freshMs, check)] as const);
  server.get("/health/ready", async (_, reply) => {
    const results = await Promise.all(
      remembered.map(async ([name, check]) => [name, await check().catch((): Status => "down")] as const),
    );
    const states = results.map(([, status]) => status);
    const status = states.includes("down") ? "down" : states.includes("degraded") ? "degraded" : "ok";
    return await reply.code(status === "down" ? 503 : 200).send({ status, checks: Object.fromEntries(results) });
  });
}
