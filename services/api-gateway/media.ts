import type { FastifyInstance } from "fastify";

const defaultAvatar =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="No picture">' +
  '<rect width="64" height="64" fill="#d9dad5"/><circle cx="32" cy="25" r="11" fill="#8d9088"/>' +
  '<path d="M10 60c2-14 11-20 22-20s20 6 22 20z" fill="#8d9088"/></svg>';

/** Pictures of accounts; so far the one that everybody starts with. */
export function serveMedia(server: FastifyInstance): void {
  server.get("/media/default-avatar.svg", async (_, reply) => {
    reply.header("cache-control", "public, max-age=86400").header("cross-origin-resource-policy", "cross-origin");
    return await reply.type("image/svg+xml").send(defaultAvatar);
  });
}
