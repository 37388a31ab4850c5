import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { FastifyInstance } from "fastify";
import type { JsonSchema } from "../../lib/schema.ts";

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>User management API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>`;
const start = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });`;
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const assets = { "swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript" } as const;

/** The document, and a page to try it that loads nothing from elsewhere. */
export function serveDocs(server: FastifyInstance, document: JsonSchema): void {
  // Only the path is asked for here: the files are read when somebody opens the page.
  const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  const text = JSON.stringify(document);
  server.get("/openapi.json", (_, reply) => reply.type("application/json; charset=utf-8").send(text));
  server.get("/docs/", (_, reply) =>
    reply.type("text/html; charset=utf-8").header("content-security-policy", policy).send(page),
  );
  server.get("/docs/start.js", (_, reply) => reply.type("text/javascript; charset=utf-8").send(start));
  for (const [name, type] of Object.entries(assets)) {
    const file = readOnce(() => readFile(join(folder, name)));
    server.get(`/docs/${name}`, async (_, reply) => {
      const content = await file();
      reply.type(`${type}; charset=utf-8`).header("cache-control", "public, max-age=86400");
      return await reply.send(content);
    });
  }
}

/**
 * Reads when it is first asked, and keeps it: a copy for everybody who asks at once would fill the memory. A failure (too
 * many open files) is not kept: the next one who asks has it read again.
 */
export function readOnce<T>(read: () => Promise<T>): () => Promise<T> {
  let kept: Promise<T> | undefined;
  return () => {
    kept ??= read().catch((error: unknown) => {
      kept = undefined;
      throw error;
    });
    return kept;
  };
}
