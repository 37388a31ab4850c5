import type { FastifyInstance, FastifyReply } from "fastify";
import { LRUCache } from "lru-cache";
import { call } from "../../lib/actions.ts";
import { ServiceError } from "../../lib/errors.ts";
import { system } from "../../lib/principal.ts";
import { pictureNameForm, usersContract } from "../users/users.contract.ts";
import type { GatewayDeps } from "./serve-routes.ts";

const defaultAvatar =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="No picture">' +
  '<rect width="64" height="64" fill="#d9dad5"/><circle cx="32" cy="25" r="11" fill="#8d9088"/>' +
  '<path d="M10 60c2-14 11-20 22-20s20 6 22 20z" fill="#8d9088"/></svg>';
const nameForm = new RegExp(pictureNameForm);

/** Some hundred pictures. One that was removed is still shown for a minute. */
const cacheBytes = 8 * 1024 * 1024;
const cacheMs = 60_000;

/** Pictures of accounts, and the one that everybody starts with. Other sites of the platform show them too. */
export function serveMedia(server: FastifyInstance, { broker }: Pick<GatewayDeps, "broker">): void {
  server.get("/media/default-avatar.svg", async (_, reply) => {
    return await forEverybody(reply, "max-age=86400").type("image/svg+xml").send(defaultAvatar);
  });

  const pictures = new LRUCache<string, Buffer>({
    maxSize: cacheBytes,
    sizeCalculation: (picture) => picture.length,
    ttl: cacheMs,
    // The file lies with `users`, on whatever machine that runs.
    fetchMethod: async (name) => {
      const picture = await call(broker, usersContract.picture, { name }, system);
      return picture === null ? undefined : Buffer.from(picture, "base64");
    },
  });
  server.get<{ Params: { name: string } }>("/media/avatars/:name", async (request, reply) => {
    const { name } = request.params;
    const picture = nameForm.test(name) ? await pictures.fetch(name) : undefined;
    if (!picture) throw new ServiceError("not_found");
    const etag = `"${name.slice(0, -".jpg".length)}"`;
    forEverybody(reply, "max-age=31536000, immutable").header("etag", etag);
    if (request.headers["if-none-match"] === etag) return await reply.code(304).send();
    return await reply.type("image/jpeg").send(picture);
  });
}

const forEverybody = (reply: FastifyReply, caching: string): FastifyReply =>
  reply.header("cache-control", `public, ${caching}`).header("cross-origin-resource-policy", "cross-origin");
