import { describe, expect, jest, test } from "@jest/globals";
import type { FastifyRequest } from "fastify";
import type { Access, AccessGuard } from "../../../../mixins/access-guard/access-guard.ts";
import { identify } from "../../../../services/api-gateway/identify.ts";
import { principal, rejection } from "../../helpers.ts";

const requestWith = (headers: Record<string, string>) =>
  ({ headers: { "user-agent": "test", ...headers }, id: "request-1", ip: "192.0.2.1" }) as unknown as FastifyRequest;
const guardThatSays = (access: Access) => {
  const check = jest.fn<AccessGuard["check"]>(() => Promise.resolve(access));
  return { check, guard: { check } };
};
const letIn: Access = { principal: principal(), isStaff: false };
const cookie = { cookie: "access_token=from-cookie; refresh_token=r" };

describe("identify: where the token comes from", () => {
  test.each<[string, Record<string, string>, string]>([
    ["the cookie", cookie, "from-cookie"],
    ["Authorization", { authorization: "Bearer from-header" }, "from-header"],
    ["Authorization before the cookie", { ...cookie, authorization: "Bearer from-header" }, "from-header"],
    ["Authorization in another case", { authorization: "bearer   from-header" }, "from-header"],
    ["the cookie, beside another scheme", { ...cookie, authorization: "Basic dTpw" }, "from-cookie"],
    ["the cookie, beside a header of two words", { ...cookie, authorization: "Bearer a b" }, "from-cookie"],
  ])("%s", async (_, headers, token) => {
    const { check, guard } = guardThatSays(letIn);
    const { actor, cookies } = await identify(guard, requestWith(headers), "required");
    expect(check.mock.calls).toEqual([[token]]);
    expect(actor).toEqual({
      principal: principal(),
      call: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      requestId: "request-1",
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/) as unknown,
      ip: "192.0.2.1",
      userAgent: "test",
    });
    expect(cookies.refreshToken).toBe("cookie" in headers ? "r" : undefined);
  });
});

describe("identify: required", () => {
  test("without a token: not authenticated, and nothing is checked", async () => {
    const { check, guard } = guardThatSays(letIn);
    expect(await rejection(identify(guard, requestWith({}), "required"))).toMatchObject({ type: "not_authenticated" });
    expect(check).not.toHaveBeenCalled();
  });

  test.each(["invalid_token", "session_ended", "inactive_account"] as const)("%s is told", async (refusal) => {
    const { guard } = guardThatSays({ refusal });
    expect(await rejection(identify(guard, requestWith(cookie), "required"))).toMatchObject({
      type: refusal,
      code: 401,
    });
  });
});

describe("identify: optional", () => {
  test.each(["invalid_token", "session_ended", "inactive_account"] as const)("%s is ignored", async (refusal) => {
    const { guard } = guardThatSays({ refusal });
    const { actor } = await identify(guard, requestWith(cookie), "optional");
    expect(actor.principal).toBeUndefined();
  });

  test("what cannot be known is an error all the same", async () => {
    const away = new Error("away");
    const guard = { check: () => Promise.reject(away) };
    expect(await rejection(identify(guard, requestWith(cookie), "optional"))).toBe(away);
  });

  test("without a token there is nobody", async () => {
    expect((await identify(guardThatSays(letIn).guard, requestWith({}), "optional")).actor.principal).toBeUndefined();
  });
});

describe("identify: no", () => {
  test("a token is not even looked at", async () => {
    const { check, guard } = guardThatSays(letIn);
    const { actor } = await identify(guard, requestWith({ ...cookie, authorization: "Bearer x" }), "no");
    expect([actor.principal, check.mock.calls]).toEqual([undefined, []]);
  });
});
