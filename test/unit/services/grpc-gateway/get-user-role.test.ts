import { afterEach, describe, expect, jest, test } from "@jest/globals";
import type { Role } from "../../../../lib/roles.ts";
import type { Access, AccessGuard } from "../../../../mixins/access-guard/access-guard.ts";
import { getUserRole } from "../../../../services/grpc-gateway/get-user-role.ts";
import { GrpcRefusal } from "../../../../services/grpc-gateway/status.ts";
import { memoryLog, principal, rejection } from "../../helpers.ts";

const guardThat = (check: AccessGuard["check"]): AccessGuard => ({ check });
const saying = (access: Access) => guardThat(() => Promise.resolve(access));
const granted = (changes: Parameters<typeof principal>[0] = {}, isStaff = false): Access => ({
  principal: principal(changes),
  isStaff,
});
/** What is thrown at once counts as a rejection. */
const ask = async (guard: AccessGuard, access_token: string, log = memoryLog()) =>
  await getUserRole(guard, log)({ access_token });
async function refusalOf(guard: AccessGuard, access_token = "token"): Promise<[string, string]> {
  const error = await rejection(ask(guard, access_token));
  if (!(error instanceof GrpcRefusal)) throw error as Error;
  return [error.status, error.message];
}

afterEach(() => {
  jest.useRealTimers();
});

describe("getUserRole: answers", () => {
  test.each<[Role, number]>([
    ["CU", 1],
    ["CO", 2],
    ["RM", 3],
    ["MO", 4],
  ])("%s is %d of roles.proto, and the id is text", async (role, number) => {
    const answer = await getUserRole(saying(granted({ userId: 42, role })), memoryLog())({ access_token: "token" });
    expect(answer).toEqual({ user_id: "42", role: number });
  });

  test("the token is handed on as it came", async () => {
    const check = jest.fn<AccessGuard["check"]>(() => Promise.resolve(granted()));
    await getUserRole(guardThat(check), memoryLog())({ access_token: " a.b.c " });
    expect(check.mock.calls).toEqual([[" a.b.c "]]);
  });
});

describe("getUserRole: refusals, with the texts that the callers compare (CONTRACT.md, section 2)", () => {
  test("no token: it is not even checked", async () => {
    const check = jest.fn<AccessGuard["check"]>();
    expect(await refusalOf(guardThat(check), "")).toEqual(["INVALID_ARGUMENT", "Missing access token"]);
    expect(check).not.toHaveBeenCalled();
  });

  test.each<[string, Access, string, string]>([
    ["malformed, expired, unknown user", { refusal: "invalid_token" }, "INVALID_ARGUMENT", "Invalid access token"],
    ["session ended", { refusal: "session_ended" }, "UNAUTHENTICATED", "Session has ended"],
    ["not active", { refusal: "inactive_account" }, "UNAUTHENTICATED", "User isn't active"],
    ["not verified", granted({ verified: false }), "UNAUTHENTICATED", "User has got unverified email"],
    ["staff", granted({}, true), "UNAUTHENTICATED", "User is staff"],
    ["staff, not verified", granted({ verified: false }, true), "UNAUTHENTICATED", "User has got unverified email"],
  ])("%s", async (_, access, status, details) => {
    expect(await refusalOf(saying(access))).toEqual([status, details]);
  });

  test("what cannot be known is UNAVAILABLE: never anonymous, never allowed, no reason told", async () => {
    const log = memoryLog();
    const guard = guardThat(() => Promise.reject(new Error("connect ECONNREFUSED db:5432")));
    const error = await rejection(ask(guard, "token-in-question", log));
    expect(error).toMatchObject({ status: "UNAVAILABLE", message: "Try again later" });
    expect(log.lines).toEqual([
      { level: "warn", fields: { reason: "connect ECONNREFUSED db:5432" }, message: "roles cannot be known now" },
    ]);
    expect(log.text()).not.toContain("token-in-question");
  });
});

describe("getUserRole: what is thrown and is no error", () => {
  test("is UNAVAILABLE like every other failure", async () => {
    const check = jest.fn<AccessGuard["check"]>().mockRejectedValue("just a word");
    expect(await refusalOf(guardThat(check))).toEqual(["UNAVAILABLE", "Try again later"]);
  });
});

describe("getUserRole: the deadline", () => {
  const answersAfter = (ms: number) =>
    guardThat(() => new Promise((resolve) => setTimeout(() => resolve(granted()), ms)));

  test("an answer after 899 ms is an answer", async () => {
    jest.useFakeTimers();
    const answer = getUserRole(answersAfter(899), memoryLog())({ access_token: "token" });
    await jest.advanceTimersByTimeAsync(899);
    expect(await answer).toEqual({ user_id: "7", role: 1 });
  });

  test("after 900 ms nobody waits any longer: UNAVAILABLE", async () => {
    jest.useFakeTimers();
    const refusal = refusalOf(answersAfter(901));
    let settled = false;
    void refusal.then(() => (settled = true));
    await jest.advanceTimersByTimeAsync(899);
    expect(settled).toBe(false);
    await jest.advanceTimersByTimeAsync(1);
    expect(settled).toBe(true);
    expect(await refusal).toEqual(["UNAVAILABLE", "Try again later"]);
  });

  test("a check that fails after the deadline disturbs nobody", async () => {
    jest.useFakeTimers();
    const late = guardThat(() => new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 2000)));
    const refusal = refusalOf(late);
    await jest.advanceTimersByTimeAsync(5000);
    expect(await refusal).toEqual(["UNAVAILABLE", "Try again later"]);
  });

  test("once answered, no timer is left behind", async () => {
    jest.useFakeTimers();
    await getUserRole(saying(granted()), memoryLog())({ access_token: "token" });
    await refusalOf(guardThat(() => Promise.reject(new Error("away"))));
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe("getUserRole: the log of a time in which roles cannot be known", () => {
  const refuses = () => Promise.reject<Access>(new Error("no answer"));
  /** What is in the log after checks that answer, fail, or pass seconds. */
  async function logOf(...steps: ("answered" | "refused" | "at once" | number)[]) {
    jest.useFakeTimers();
    const log = memoryLog();
    let check: AccessGuard["check"] = () => granted();
    const role = getUserRole(
      guardThat((token) => check(token)),
      log,
    );
    for (const step of steps) {
      if (typeof step === "number") jest.advanceTimersByTime(step * 1000);
      else {
        check = { answered: () => Promise.resolve(granted()), refused: refuses, "at once": () => granted() }[step];
        await Promise.resolve(role({ access_token: "token" })).catch(() => undefined);
      }
    }
    return log.lines.map(({ message, fields }) => [message, fields]);
  }
  const begun = ["roles cannot be known now", { reason: "no answer" }];
  const over = (refused: number) => ["roles can be known again", { refused }];

  test.each<[string, Parameters<typeof logOf>, unknown[]]>([
    ["nobody refused: nothing", ["answered", 10, "answered"], []],
    ["a thousand refused: one line", Array<"refused">(1000).fill("refused"), [begun]],
    ["over: how many were refused", ["refused", "refused", "refused", 5, "answered", "answered"], [begun, over(3)]],
    ["what is answered from memory does not end it", ["refused", 60, "at once"], [begun]],
    ["again: two lines each", ["refused", 5, "answered", "refused", 5, "answered"], [begun, over(1), begun, over(1)]],
  ])("%s", async (_, steps, lines) => {
    expect(await logOf(...steps)).toEqual(lines);
  });

  test("a source that comes and goes: one time, not one for each refusal", async () => {
    const flapping = Array.from({ length: 100 }, () => ["refused", 1, "answered", 1] as const).flat();
    expect(await logOf(...flapping, 5, "answered")).toEqual([begun, over(100)]);
  });
});
