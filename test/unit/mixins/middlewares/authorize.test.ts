import { describe, expect, test } from "@jest/globals";
import type { ActionSchema, Context, ServiceBroker } from "moleculer";
import type { Actor } from "../../../../lib/principal.ts";
import type { Role } from "../../../../lib/roles.ts";
import { authorize } from "../../../../mixins/middlewares/authorize.ts";
import { actor, principal, rejection, thrown } from "../../helpers.ts";

type Handler = (ctx: Context) => Promise<unknown>;
/** What the middleware makes of an action, as the broker does at the start. */
function guarded(words: object, handler: Handler = () => Promise.resolve("done")): Handler {
  const schema = { name: "shop.order", visibility: "published", ...words } as ActionSchema;
  // It needs no broker.
  return authorize.localAction?.call(undefined as unknown as ServiceBroker, handler, schema) as Handler;
}
const contextOf = (meta: unknown) => ({ meta, locals: {} }) as unknown as Context;
const callAs = (words: object, principalOf: Actor["principal"]) =>
  guarded(words)(contextOf({ actor: actor({ principal: principalOf }) }));
const moderators = { auth: { roles: ["MO"], verified: true } };

describe("authorize: words that stop the start", () => {
  test.each<[string, object, RegExp]>([
    ["no visibility", { visibility: undefined, auth: "none" }, /must state its visibility/],
    ["a visibility that nobody knows", { visibility: "secret", auth: "none" }, /must state its visibility/],
    ["no auth", {}, /must state who may call it/],
    ["a word that nobody knows", { auth: "sometimes" }, /shop\.order/],
    ["another case", { auth: "None" }, /shop\.order/],
    ["an empty word", { auth: "" }, /shop\.order/],
    ["true", { auth: true }, /shop\.order/],
    ["an empty object", { auth: {} }, /shop\.order/],
    ["a list of roles alone", { auth: ["MO"] }, /shop\.order/],
    ["no roles", { auth: { verified: true } }, /names a role that does not exist/],
    ["an empty list of roles", { auth: { roles: [], verified: true } }, /names a role that does not exist/],
    [
      "a role that does not exist",
      { auth: { roles: ["MO", "ADMIN"], verified: true } },
      /names a role that does not exist/,
    ],
    ["a role in small letters", { auth: { roles: ["mo"], verified: true } }, /names a role that does not exist/],
    ["a role that is no text", { auth: { roles: [["MO"]], verified: true } }, /names a role that does not exist/],
    ["roles in one text", { auth: { roles: "MO", verified: true } }, /names a role that does not exist/],
    ["no word on verification", { auth: { roles: ["MO"] } }, /must say whether a verified address is needed/],
    ["verification as a text", { auth: { roles: ["MO"], verified: "yes" } }, /must say whether a verified address/],
    ["internal and published", { auth: "internal", visibility: "published" }, /must not be published/],
  ])("%s", (_, words, message) => {
    expect(String(thrown(() => guarded(words)))).toMatch(message);
  });

  test.each(["published", "public", "protected", "private"])("%s is a visibility", (visibility) => {
    expect(() => guarded({ visibility, auth: "none" })).not.toThrow();
  });

  test("internal and public is what the other services call", () => {
    expect(() => guarded({ visibility: "public", auth: "internal" })).not.toThrow();
  });
});

describe("authorize: who may call", () => {
  const all: readonly Role[] = ["CU", "CO", "RM", "MO"];

  test.each(["none", "internal"])("%s: anybody, also nobody", async (auth) => {
    const words = { auth, visibility: "public" };
    expect(await callAs(words, undefined)).toBe("done");
    expect(await callAs(words, principal({ verified: false }))).toBe("done");
  });

  test("required: every signed-in account, verified or not", async () => {
    for (const role of all)
      expect(await callAs({ auth: "required" }, principal({ role, verified: false }))).toBe("done");
  });

  test("required: not nobody", async () => {
    expect(await rejection(callAs({ auth: "required" }, undefined))).toMatchObject({
      type: "not_authenticated",
      code: 401,
    });
  });

  test.each(all.filter((role) => role !== "MO"))("roles: %s is no moderator, verified or not", async (role) => {
    for (const verified of [true, false]) {
      const error = await rejection(callAs(moderators, principal({ role, verified })));
      expect(error).toMatchObject({ type: "permission_denied", code: 403 });
    }
  });

  test("roles: nobody is asked to sign in and is not told of roles", async () => {
    expect(await rejection(callAs(moderators, undefined))).toMatchObject({ type: "not_authenticated" });
  });

  test("roles: a verified moderator may, an unverified one may not", async () => {
    expect(await callAs(moderators, principal({ role: "MO" }))).toBe("done");
    const unverified = callAs(moderators, principal({ role: "MO", verified: false }));
    expect(await rejection(unverified)).toMatchObject({ type: "email_not_verified", code: 403 });
  });

  test("roles: where no verified address is needed none is asked for", async () => {
    const words = { auth: { roles: ["RM", "MO"], verified: false } };
    expect(await callAs(words, principal({ role: "RM", verified: false }))).toBe("done");
  });

  test("whoever may not does not reach the handler", async () => {
    let reached = false;
    const handler = guarded(moderators, () => Promise.resolve((reached = true)));
    await rejection(handler(contextOf({})));
    expect(reached).toBe(false);
  });
});

describe("authorize: forged meta", () => {
  test.each<[string, unknown]>([
    ["no meta", {}],
    ["no actor", { actor: undefined }],
    ["null", { actor: null }],
    ["a text", { actor: "moderator" }],
    ["a number", { actor: 1 }],
    ["a list", { actor: [principal({ role: "MO" })] }],
    ["a principal beside the actor", { principal: principal({ role: "MO" }), user: { role: "MO" } }],
    ["a principal that is null", { actor: { principal: null } }],
    ["a principal in the prototype", { actor: Object.create({ principal: principal({ role: "MO" }) }) as unknown }],
  ])("%s: nobody", async (_, meta) => {
    expect(await rejection(guarded(moderators)(contextOf(meta)))).toMatchObject({ type: "not_authenticated" });
    expect(await rejection(guarded({ auth: "required" })(contextOf(meta)))).toMatchObject({
      type: "not_authenticated",
    });
  });

  test("a principal of another shape is no signed-in account", async () => {
    const forgeries: readonly unknown[] = [
      "MO",
      true,
      {},
      [7],
      { role: "CU", verified: true, sessionId: "s" },
      { ...principal(), userId: "7 or 1=1" },
      { ...principal(), role: "ROOT" },
    ];
    const letIn: unknown[] = [];
    for (const forged of forgeries) {
      const ctx = contextOf({ actor: { ...actor(), principal: forged } });
      await guarded({ auth: "required" })(ctx).then(
        () => letIn.push(forged),
        (error: unknown) => expect(error).toMatchObject({ type: "not_authenticated" }),
      );
    }
    expect(letIn).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["a list of roles", { ...principal(), role: ["MO"] }],
    ["an object", { ...principal(), role: { toString: "MO" } }],
    ["another case", { ...principal(), role: "mo" }],
    ["no role", { userId: 7, sessionId: "s", verified: true }],
  ])("a role that is %s is no moderator", async (_, forged) => {
    const error = await rejection(guarded(moderators)(contextOf({ actor: { ...actor(), principal: forged } })));
    expect(["permission_denied", "not_authenticated"]).toContain((error as { type?: string }).type);
  });
});

describe("authorize: what the handler gets", () => {
  const seen = async (meta: unknown): Promise<{ actor: Actor; frozen: boolean }> => {
    let given: Actor | undefined;
    const handler = guarded({ auth: "none" }, (ctx) => {
      given = (ctx.locals as { actor: Actor }).actor;
      return Promise.resolve();
    });
    await handler(contextOf(meta));
    return { actor: given!, frozen: Object.isFrozen(given) };
  };

  test("is the actor, as a value of its own that cannot be changed", async () => {
    const sent = actor({ principal: principal() });
    const { actor: got, frozen } = await seen({ actor: sent });
    expect([got, frozen]).toEqual([sent, true]);
    expect(got).not.toBe(sent);
  });

  test("is the system's actor where nobody was named", async () => {
    expect((await seen({})).actor).toEqual({ principal: undefined, call: "", requestId: "", ip: "", userAgent: "" });
  });

  test("stays what it was when a nested call writes its own meta into ours", async () => {
    const meta: { actor: Actor } = { actor: actor({ principal: principal({ userId: 7 }) }) };
    let given: Actor | undefined;
    const handler = guarded({ auth: "required" }, (ctx) => {
      meta.actor = actor({ principal: principal({ userId: 8, role: "MO" }) });
      given = (ctx.locals as { actor: Actor }).actor;
      return Promise.resolve();
    });
    await handler(contextOf(meta));
    expect(given?.principal?.userId).toBe(7);
  });

  test("what the handler answers or throws goes through", async () => {
    const error = new Error("of its own");
    expect(await rejection(guarded({ auth: "none" }, () => Promise.reject(error))(contextOf({})))).toBe(error);
  });
});
