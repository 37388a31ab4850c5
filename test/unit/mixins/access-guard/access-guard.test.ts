import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { ServiceBroker } from "moleculer";
import { signAccessToken } from "../../../../lib/access-token.ts";
import type { Clock } from "../../../../lib/clock.ts";
import { ServiceError } from "../../../../lib/errors.ts";
import { keyRing } from "../../../../lib/keys.ts";
import { createAccessGuard } from "../../../../mixins/access-guard/access-guard.ts";
import type { AccessSource } from "../../../../mixins/access-guard/access-states.ts";
import type { AccessChanges, AccessState } from "../../../../mixins/accounts/access.repository.ts";
import type { Node } from "../../../../mixins/node.ts";
import {
  config,
  frozenClock,
  laterBy,
  memoryLog,
  now,
  otherSecret,
  rejection,
  rotatedSecrets,
  secrets,
  sessionId,
} from "../../helpers.ts";

const token = signAccessToken(keyRing(secrets, "access-token"), frozenClock, 3600, { userId: 7, sessionId, epoch: 3 });
const good: AccessState = {
  user_id: 7,
  session_id: sessionId,
  revision: 1,
  role: "CU",
  is_active: true,
  is_email_verified: true,
  is_staff: false,
  session_epoch: 3,
  session_ended: false,
};
const noChanges: AccessChanges = { accounts: [], session_ids: [] };
type KeySecrets = Parameters<typeof keyRing>[0];

function guardOver(state: AccessState | null | Error, clock: Clock = frozenClock, keys: KeySecrets = secrets) {
  const states = jest.fn<AccessSource["states"]>(() =>
    state instanceof Error ? Promise.reject(state) : Promise.resolve(state ? [state] : []),
  );
  const changes = jest.fn<AccessSource["changes"]>(() => Promise.resolve(noChanges));
  const node = { config: { ...config(), secrets: keys }, clock, log: memoryLog() } as unknown as Node;
  const { guard, mixin } = createAccessGuard(node, { states, changes });
  return { states, changes, guard, mixin };
}
const check = (changes: Partial<AccessState>) => guardOver({ ...good, ...changes }).guard.check(token);

describe("access guard: who is let in", () => {
  test("an active account with a living session, as it stands now", async () => {
    const { guard, states } = guardOver(good);
    expect(await guard.check(token)).toEqual({
      principal: { userId: 7, sessionId, role: "CU", verified: true },
      isStaff: false,
    });
    expect(states.mock.calls.map(([of]) => of)).toEqual([[{ user_id: 7, session_id: sessionId }]]);
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
    const { guard, states } = guardOver(good);
    expect(await guard.check(text)).toEqual({ refusal: "invalid_token" });
    expect(states).not.toHaveBeenCalled();
  });

  test("an expired token", async () => {
    const { guard, states } = guardOver(good, laterBy(3600));
    expect(await guard.check(token)).toEqual({ refusal: "invalid_token" });
    expect(states).not.toHaveBeenCalled();
  });

  test('what cannot be known is an error and never "allowed"', async () => {
    const away = new ServiceError("unavailable");
    expect(await rejection(Promise.resolve(guardOver(away).guard.check(token)))).toBe(away);
  });
});

describe("access guard: tokens that it has seen before", () => {
  test("the account is not asked for again, and the token not verified again", async () => {
    const { guard, states } = guardOver(good);
    await guard.check(token);
    expect(guard.check(token)).toMatchObject({ principal: { userId: 7 } });
    expect(states).toHaveBeenCalledTimes(1);
  });

  test("its expiry is looked at each time", async () => {
    const time = { now };
    const { guard } = guardOver(good, { now: () => time.now });
    await guard.check(token);
    time.now = now + 3_599_999;
    expect(guard.check(token)).toMatchObject({ principal: { userId: 7 } });
    time.now = now + 3_600_000;
    expect(guard.check(token)).toEqual({ refusal: "invalid_token" });
  });

  test("a rotation with overlap logs nobody out; once the old key is gone its tokens are refused", async () => {
    const during = guardOver(good, frozenClock, rotatedSecrets).guard;
    expect(await during.check(token)).toMatchObject({ principal: { userId: 7 } });
    const after = guardOver(good, frozenClock, { current: otherSecret, previous: undefined }).guard;
    expect(await after.check(token)).toEqual({ refusal: "invalid_token" });
  });

  test("one that was tampered with is not taken for the one that is remembered", async () => {
    const { guard } = guardOver(good);
    await guard.check(token);
    expect(await guard.check(`${token}A`)).toEqual({ refusal: "invalid_token" });
  });

  test("25,000 tokens, each a piece of a long header: at most 20,000 are kept, and of the headers nothing", async () => {
    const { guard } = guardOver(good);
    await guard.check(token);
    const before = heapMegabytes();
    let last = token;
    for (let count = 0; count < 25_000; count++) {
      const header = Buffer.from(`theme=${"x".repeat(8000)}; access_token=${anotherToken()}`).toString("utf8");
      last = header.slice(header.indexOf("access_token=") + 13);
      await guard.check(last);
    }
    const grown = heapMegabytes() - before;
    // 600 bytes a token; 20,000 headers would be 160 MB.
    expect(grown).toBeLessThan(13.5);
    // Until here the guard must not have been collected itself.
    expect(guard.check(last)).toMatchObject({ principal: { userId: 7 } });
  }, 60_000);
});

describe("access guard: kept up to date while its service runs", () => {
  const running: ServiceBroker[] = [];
  afterEach(async () => {
    jest.useRealTimers();
    for (const broker of running.splice(0)) await broker.stop();
  });
  async function served() {
    const { guard, mixin, states, changes } = guardOver(good);
    const broker = new ServiceBroker({ logger: false });
    running.push(broker);
    broker.createService({ name: "gateway", mixins: [mixin] });
    await broker.start();
    await guard.check(token);
    const isKnown = () => !(guard.check(token) instanceof Promise);
    expect(isKnown()).toBe(true);
    return { broker, guard, states, changes, isKnown };
  }

  test("a broadcast about the account: it counts at once", async () => {
    const { broker, guard, states, isKnown } = await served();
    void broker.broadcast("access.changed", { user_id: 8, revision: 2 });
    expect(isKnown()).toBe(true);
    void broker.broadcast("access.changed", { user_id: 7, revision: 2 });
    expect(isKnown()).toBe(false);
    states.mockResolvedValue([{ ...good, revision: 2, is_active: false }]);
    expect(await guard.check(token)).toEqual({ refusal: "inactive_account" });
  });

  test("a broadcast about the session: it has ended at once", async () => {
    const { broker, guard } = await served();
    void broker.broadcast("sessions.ended", { session_ids: ["another", sessionId] });
    expect(guard.check(token)).toEqual({ refusal: "session_ended" });
  });

  test("once something is known it asks for changes every two seconds, until it stops", async () => {
    jest.useFakeTimers({ advanceTimers: true, doNotFake: ["setImmediate", "nextTick", "queueMicrotask"] });
    const { broker, guard, changes } = await served();
    expect(changes).not.toHaveBeenCalled();
    changes.mockResolvedValue({ accounts: [], session_ids: [sessionId] });
    await jest.advanceTimersByTimeAsync(2000);
    expect(guard.check(token)).toEqual({ refusal: "session_ended" });
    await jest.advanceTimersByTimeAsync(4000);
    const asked = changes.mock.calls.length;
    expect(asked).toBeGreaterThanOrEqual(3);
    await broker.stop();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(changes).toHaveBeenCalledTimes(asked);
  });
});

let counted = 0;
/** Of the same account and session. */
const anotherToken = () =>
  signAccessToken(keyRing(secrets, "access-token"), frozenClock, 3600 + ++counted, { userId: 7, sessionId, epoch: 3 });

function heapMegabytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  return process.memoryUsage().heapUsed / 1e6;
}
