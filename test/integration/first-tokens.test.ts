import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { signAccessToken } from "../../lib/access-token.ts";
import { systemClock } from "../../lib/clock.ts";
import { keyRing } from "../../lib/keys.ts";
import { rolesClient, type RoleAnswer, type RolesClient } from "../support/roles-client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let roles: RolesClient;
beforeAll(async () => {
  service = await startService({ SERVICES: "auth,grpc-gateway" });
  roles = rolesClient(service.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await service.stop();
});

/** Access tokens of as many accounts, whose hashes are none. */
async function signedIn(count: number): Promise<{ id: number; token: string }[]> {
  const users = await service.query<{ id: number }>(
    `insert into users (email, email_canonical, password_hash, role, roles_held, is_email_verified, version)
     select email, email, 'none', 'CU', array['CU'], true, 1
     from (select n || '@example.com' as email from generate_series(1, $1::int) n) made returning id::int`,
    [count],
  );
  const sessions = users.map(({ id }) => ({ userId: id, sessionId: randomUUID() }));
  await service.query(
    `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at)
     select id, user_id, sha256(id::text::bytea), false, '', '', now() + interval '1 day', now() + interval '1 day'
     from unnest($1::uuid[], $2::bigint[]) made (id, user_id)`,
    [sessions.map(({ sessionId }) => sessionId), sessions.map(({ userId }) => userId)],
  );
  const keys = keyRing(service.config.secrets, "access-token");
  return sessions.map((of) => ({
    id: of.userId,
    token: signAccessToken(keys, systemClock, 3600, { ...of, epoch: 0 }),
  }));
}

/** A busy machine may take longer than a caller waits: asked again, as a caller would. */
async function ask(token: string, attempts = 3): Promise<RoleAnswer> {
  const answer = await roles.getUserRole(token);
  const late: number = status.UNAVAILABLE;
  const isLate = "code" in answer && answer.code === late;
  return isLate && attempts > 1 ? await ask(token, attempts - 1) : answer;
}

test("2,000 tokens that a node meets for the first time, 128 in flight: at most 40 questions, then none", async () => {
  const people = await signedIn(2000);
  const call = jest.spyOn(service.broker, "call");
  const askAll = async () => {
    const left = people[Symbol.iterator]();
    const caller = async () => {
      for (const { id, token } of left) {
        expect(await ask(token)).toEqual({ user_id: String(id), role: "USER_ROLE_CUSTOMER" });
      }
    };
    await Promise.all(Array.from({ length: 128 }, caller));
    const questions = call.mock.calls.filter(([action]) => action === "auth.accessStates").length;
    call.mockClear();
    return questions;
  };
  const first = await askAll();
  expect(first).toBeGreaterThan(0);
  expect(first).toBeLessThanOrEqual(40);
  expect(await askAll()).toBe(0);
});
