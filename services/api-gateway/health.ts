import type { FastifyInstance } from "fastify";

export type Status = "ok" | "degraded" | "down";
/** One dependency, asked at the time of the request. */
export type Check = () => Promise<Status>;

/** Liveness says that the process answers; readiness, what it can do. Names of dependencies and nothing about them. */
export function serveHealth(server: FastifyInstance, checks: Readonly<Record<string, Check>>): void {
  server.get("/health/live", () => ({ status: "ok", checks: {} }));
  server.get("/health/ready", async (_, reply) => {
    const results = await Promise.all(
      Object.entries(checks).map(async ([name, check]) => [name, await check().catch((): Status => "down")] as const),
    );
    const states = results.map(([, status]) => status);
    const status = states.includes("down") ? "down" : states.includes("degraded") ? "degraded" : "ok";
    return await reply.code(status === "down" ? 503 : 200).send({ status, checks: Object.fromEntries(results) });
  });
}
