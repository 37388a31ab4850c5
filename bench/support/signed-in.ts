import { randomUUID } from "node:crypto";
import pg from "pg";
import { signAccessToken } from "../../lib/access-token.ts";
import { systemClock } from "../../lib/clock.ts";
import { keyRing } from "../../lib/keys.ts";
import { seedAccounts } from "../../scripts/seed/accounts.ts";
import { firstRefreshToken } from "../../services/auth/refresh-token.ts";
import type { Stand } from "./service.ts";

export interface SignedIn {
  readonly userId: number;
  readonly accessToken: string;
  readonly refreshToken: string;
}
const day = 24 * 60 * 60;

/** Active customers with a verified address and a session each, without a hash for any of them. */
export async function signedIn({ config, database }: Stand, count: number): Promise<SignedIn[]> {
  await seedAccounts(database, count);
  const [access, refresh] = [keyRing(config.secrets, "access-token"), keyRing(config.secrets, "refresh-token")];
  const client = new pg.Client(database);
  await client.connect();
  try {
    const { rows } = await client.query<{ id: number }>(
      "update users set role = 'CU', is_active = true, is_email_verified = true returning id::int",
    );
    const people = rows.map(({ id: userId }) => ({ userId, first: firstRefreshToken(refresh, randomUUID()) }));
    await client.query(
      `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at)
       select id, user_id, hash, false, '', '', now() + interval '10 days', now() + interval '90 days'
       from unnest($1::uuid[], $2::bigint[], $3::bytea[]) made (id, user_id, hash)`,
      [people.map(({ first }) => first.sessionId), rows.map(({ id }) => id), people.map(({ first }) => first.hash)],
    );
    return people.map(({ userId, first: { sessionId, text } }) => ({
      userId,
      accessToken: signAccessToken(access, systemClock, day, { userId, sessionId, epoch: 0 }),
      refreshToken: text,
    }));
  } finally {
    await client.end();
  }
}
