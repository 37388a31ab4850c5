import { once } from "node:events";
import { createServer } from "node:http";
import type { Metrics } from "./metrics.ts";

export interface MetricsServer {
  close(): Promise<void>;
}

/** However many ask, the queries behind the numbers are made once in this time. */
const freshMs = 1000;

/**
 * `GET /metrics` on a listener of its own: what operators may see is not for whoever reaches the API.
 * @throws Error that names METRICS_PORT when it cannot listen there
 */
export async function serveMetrics(at: { host: string; port: number }, metrics: Metrics): Promise<MetricsServer> {
  let last: { readonly at: number; readonly text: Promise<string> } | undefined;
  const fresh = (): Promise<string> => {
    if (!last || performance.now() - last.at > freshMs) last = { at: performance.now(), text: metrics.text() };
    return last.text;
  };
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 65_000 });
  server.maxConnections = 50;
  server.on("request", (request, response) => {
    response.setHeader("x-content-type-options", "nosniff");
    if (request.url?.split("?")[0] !== "/metrics") return void response.writeHead(404).end();
    if (request.method !== "GET") return void response.writeHead(405, { allow: "GET" }).end();
    fresh().then(
      (text) => response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8").end(text),
      () => response.writeHead(500).end(),
    );
  });
  try {
    server.listen(at.port, at.host);
    await once(server, "listening");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    throw new Error(`METRICS_PORT: cannot listen on ${at.host}:${at.port}: ${code}`, { cause: error });
  }
  return {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
