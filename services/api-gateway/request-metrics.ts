import type { FastifyInstance } from "fastify";
import type { Metrics } from "../../mixins/metrics/metrics.ts";
import type { ServedRoute } from "./server.ts";

const statuses = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;
/** From what memory answers to a sign-in behind others. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Requests by route: its pattern and never its path, which holds ids and one-time tokens. */
export function measureRequests(server: FastifyInstance, metrics: Metrics, served: readonly ServedRoute[]): void {
  const route = served.map(({ method, url }) => `${method} ${url}`);
  const answered = metrics.counter("identity_http_requests_total", "Requests by route and class of status.", {
    route: [...route],
    status: [...statuses] as string[],
  });
  const times = metrics.histogram("identity_http_request_seconds", "From request to answer, by route.", {
    bounds,
    labels: { route },
  });
  server.addHook("onResponse", (request, reply, done) => {
    const name = `${request.method} ${request.routeOptions.url ?? ""}`;
    answered.add(1, name, statuses[Math.floor(reply.statusCode / 100) - 1] ?? "5xx");
    times.observe(reply.elapsedTime / 1000, name);
    done();
  });
}
