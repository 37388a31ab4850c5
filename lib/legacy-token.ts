import { createSecretKey } from "node:crypto";
import jwt from "jsonwebtoken";
import type { Clock } from "./clock.ts";

/**
 * A refresh token of the service that this one replaces: HS256 with `SECRET_KEY` itself, `token_type: refresh`, `user_id`.
 * @returns the account's id, if the token is one and has not expired
 */
export function verifyLegacyRefreshToken(
  secrets: { readonly current: string; readonly previous: string | undefined },
  clock: Clock,
  token: string,
): number | undefined {
  if (token.length > maxLength) return undefined;
  for (const secret of [secrets.current, secrets.previous]) {
    const userId = secret === undefined ? undefined : verifyWith(secret, clock, token);
    if (userId !== undefined) return userId;
  }
  return undefined;
}

const maxLength = 2048;

function verifyWith(secret: string, clock: Clock, token: string): number | undefined {
  let claims: unknown;
  try {
    const key = createSecretKey(Buffer.from(secret));
    claims = jwt.verify(token, key, { algorithms: ["HS256"], clockTimestamp: Math.floor(clock.now() / 1000) });
  } catch {
    return undefined;
  }
  const { token_type: type, user_id: userId, exp } = Object(claims) as Record<string, unknown>;
  if (type !== "refresh" || !Number.isSafeInteger(exp)) return undefined;
  // A number, or a string in newer releases of the library that the original used.
  const id = Number(userId);
  return /^[1-9][0-9]*$/.test(String(userId)) && Number.isSafeInteger(id) ? id : undefined;
}
