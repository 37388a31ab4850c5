import { randomUUID } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { traceparentOf } from "../../lib/trace.ts";
import type { AccessGuard } from "../../mixins/access-guard/access-guard.ts";
import { readCookies, type RequestCookies } from "./cookies.ts";

export interface Identified {
  readonly actor: Actor;
  readonly cookies: RequestCookies;
}

/** `required`: a valid token or an error. `optional`: a token that is not valid is ignored. `no`: not even looked at. */
export type Identification = "required" | "optional" | "no";

/**
 * Who makes a request. `Authorization: Bearer` beats the cookie.
 * @throws ServiceError `not_authenticated`, `invalid_token`, `session_ended` or `inactive_account` where a token is required
 */
export async function identify(
  guard: AccessGuard,
  request: FastifyRequest,
  wanted: Identification,
): Promise<Identified> {
  const { headers } = request;
  const cookies = readCookies(headers.cookie);
  const anonymous: Actor = {
    principal: undefined,
    call: randomUUID(),
    requestId: request.id,
    traceparent: traceparentOf(headers["traceparent"]),
    ip: request.ip,
    userAgent: headers["user-agent"] ?? "",
    device: cookies.deviceId,
  };
  const token = wanted === "no" ? undefined : (bearerToken(headers.authorization) ?? cookies.accessToken);
  if (token === undefined) {
    if (wanted === "required") throw new ServiceError("not_authenticated");
    return { actor: anonymous, cookies };
  }
  const access = await guard.check(token);
  if (access.refusal === undefined) return { actor: { ...anonymous, principal: access.principal }, cookies };
  if (wanted === "required") throw new ServiceError(access.refusal);
  return { actor: anonymous, cookies };
}

const bearerToken = (header: string | undefined): string | undefined => /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
