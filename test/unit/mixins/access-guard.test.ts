import { describe, expect, jest, test } from "@jest/globals";
import { signAccessToken } from "../../../lib/access-token.ts";
import type { Clock } from "../../../lib/clock.ts";
import { ServiceError } from "../../../lib/errors.ts";
import { keyRing } from "../../../lib/keys.ts";
import { createAccessGuard } from "../../../mixins/access-guard.ts";
import type { AccessState } from "../../../mixins/accounts/sessions.repository.ts";
import type { Node } from "../../../mixins/node.ts";
import { config, frozenClock, laterBy, otherSecret, rejection, secrets, sessionId } from "../helpers.ts";

const token = signAccessToken(keyRing(secrets, "access-token"), frozenClock, 3600, { userId: 7, sessionId, epoch: 3 });
const good: AccessState = {
  role: "CU",
  is_active: true,
  is_email_verified: true,
  is_staff: false,
  session_epoch: 3,
  session_ended: false,
};
function guardOver(state: AccessState | null | Error, clock: Clock = frozenClock) {
  const stateOf = jest.fn<(userId: number, sessionId: string) => Promise<AccessState | null>>(() =>
    state instanceof Error ? Promise.reject(state) : Promise.resolve(state),
  );
  const node = { config: config(), clock } as unknown as Node;
  return { stateOf, guard: createAccessGuard(node, stateOf) };
}
const check = (changes: Partial<AccessState>) => guardOver({ ...good, ...changes }).guard.check(token);

describe("access guard: who is let in", () => {
  test("an active account with a living session, as it stands now", async () => {
    const { guard, stateOf } = guardOver(good);
    expect(await guard.check(token)).toEqual({
      principal: { userId: 7, sessionId, role: "CU", verified: true },
      isStaff: false,
    });
    expect(stateOf.mock.calls).toEqual([[7, sessionId]]);
  });

  test.each<[string, Partial<AccessState>, object]>([
    ["the role is the account's, not one from the token", { role: "MO" }, { principal: { role: "MO" } }],
    ["so is the verification", { is_email_verified: false }, { principal: { verified: false } }],
    ["and the mark of staff", { is_staff: true }, { isStaff: true }],
  ])("%s", async (_, changes, access) => {
    expect(await check(changes)).toMatchObject(access);
  });

  test("a state that is older than the token lets it in: the epoch only ends what came before", async () => {
    expect(await check({ session_epoch: 2 })).toMatchObject({ principal: { userId: 7 } });
  });
});

describe("access guard: who is refused", () => {
  test.each<[string, Partial<AccessState>, string]>([
    ["the session was ended", { session_ended: true }, "session_ended"],
    ["all sessions were ended after the token was issued", { session_epoch: 4 }, "session_ended"],
    ["the account is not active", { is_active: false }, "inactive_account"],
    [
      "not active, which ended its sessions",
      { is_active: false, session_ended: true, session_epoch: 4 },
      "inactive_account",
    ],
  ])("%s", async (_, changes, refusal) => {
    expect(await check(changes)).toEqual({ refusal });
  });

  test("there is no such account", async () => {
    expect(await guardOver(null).guard.check(token)).toEqual({ refusal: "invalid_token" });
  });

  test.each([
    ["nothing", ""],
    ["a word", "token"],
    ["a token that was tampered with", `${token.slice(0, -3)}AAA`],
    [
      "another platform's token",
      signAccessToken(keyRing({ current: otherSecret, previous: undefined }, "access-token"), frozenClock, 3600, {
        userId: 7,
        sessionId,
        epoch: 3,
      }),
    ],
  ])("%s: nobody is even asked about it", async (_, text) => {
    const { guard, stateOf } = guardOver(good);
    expect(await guard.check(text)).toEqual({ refusal: "invalid_token" });
    expect(stateOf).not.toHaveBeenCalled();
  });

  test("an expired token", async () => {
    const { guard, stateOf } = guardOver(good, laterBy(3600));
    expect(await guard.check(token)).toEqual({ refusal: "invalid_token" });
    expect(stateOf).not.toHaveBeenCalled();
  });

  test('what cannot be known is an error and never "allowed"', async () => {
    const away = new ServiceError("unavailable");
    expect(await rejection(guardOver(away).guard.check(token))).toBe(away);
  });
});
