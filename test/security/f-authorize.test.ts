import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { setTimeout as sleep } from "node:timers/promises";
import { bearer, signUp, type Person } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import { Client } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, 70: what decides who may what is missing, or says what nobody understands. The gateway fails closed. */
let stand: TestStand;
let moderator: Person;
beforeAll(async () => {
  stand = await startStand();
  moderator = await signUp(stand, "MO");
});
afterAll(() => stand.stop());

/** Loaded before main.ts: in one of its files a text is another. The process ends when the text is not there. */
function withText(file: string, from: string, to: string): string {
  const hook = `
    import { readFileSync } from "node:fs";
    import { registerHooks } from "node:module";
    registerHooks({
      load(url, context, next) {
        if (!url.endsWith(${JSON.stringify(file)})) return next(url, context);
        const source = readFileSync(new URL(url), "utf8");
        if (!source.includes(${JSON.stringify(from)})) process.exit(99);
        return { format: "module-typescript", source: source.replace(${JSON.stringify(from)}, ${JSON.stringify(to)}), shortCircuit: true };
      },
    });`;
  return `data:text/javascript,${encodeURIComponent(hook)}`;
}

/** On the same database, beside the one that is as it should be. */
async function start(imports: readonly string[]): Promise<{ running: ServiceProcess; client: Client }> {
  const port = String(await freePort());
  const own = { WEB_APP_PORT: port, GRPC_SERVER_PORT: String(await freePort()) };
  return {
    running: startProcess({ ...stand.env, ...own }, { imports }),
    client: new Client(`http://127.0.0.1:${port}`),
  };
}

const contract = "/services/users/users.contract.ts";
const middleware = "/mixins/middlewares/authorize.ts";
const forModerators = "auth: moderators,";
describe("70 a word that nobody understands: the process does not start, says which, and never listens", () => {
  test.each<[string, [string, string, string], RegExp]>([
    ["of an action", [contract, forModerators, 'auth: "moderators",'], /users\.\w+ names a role that does not exist/],
    [
      "a role of an action",
      [contract, forModerators, 'auth: { roles: ["ADMIN"], verified: true },'],
      /users\.\w+ names a role that does not exist/,
    ],
    ["none of an action", [contract, forModerators, ""], /must state who may call it|disagree on who may call it/],
    [
      "an action that the table of the gateway calls otherwise",
      [contract, forModerators, 'auth: "required",'],
      /the table of permissions and users\.\w+ disagree on who may call it/,
    ],
    [
      "a route that the table of the gateway does not know",
      ["/services/api-gateway/permissions.ts", '"GET /api/v1/audit/"', '"GET /api/v1/audits/"'],
      /GET \/api\/v1\/audit\/ is not in the table of permissions/,
    ],
  ])("%s", async (_, change, reason) => {
    const { running, client } = await start([withText(...change)]);
    const { code } = await Promise.race([running.exited, sleep(20_000, { code: "still running" }, { ref: false })]);
    expect([code, running.stdout()]).toEqual([1, expect.stringMatching(reason)]);
    expect(running.stdout()).not.toContain("ready: http");
    await expect(client.get("/health/live")).rejects.toThrow("fetch failed");
  });
});

describe("70 nothing decides who may what: nothing is done for anybody", () => {
  test.each([
    ["the middleware is not installed", ["/moleculer.config.ts", "[authorize, ", "["]],
    ["its hook has another name", [middleware, "localAction(", "localActions("]],
    ["it lets everybody through", [middleware, "(ctx.locals as Locals).actor = actor;", ""]],
  ] satisfies [string, [string, string, string]][])("%s", async (_, change) => {
    const { running, client } = await start([withText(...change)]);
    const { headers } = bearer(moderator.token);
    try {
      await running.ready();
      const before = await stand.query("select count(*) from users");
      for (const [method, path, body] of [
        ["GET", "/api/v1/users/", undefined],
        ["GET", `/api/v1/users/${moderator.id}/`, undefined],
        ["GET", "/api/v1/audit/", undefined],
        ["PATCH", `/api/v1/users/${moderator.id}/`, { user_profile: { first_name: "Evil" } }],
        ["POST", "/api/v1/tokens/", { email: moderator.email, password: "correct horse battery" }],
      ] as const) {
        const answer = await client.request(method, path, { headers, ...(body && { body }) });
        expect([path, answer.status, answer.headers.getSetCookie()]).toEqual([path, expect.any(Number), []]);
        expect(answer.status).toBeGreaterThanOrEqual(500);
        expect(answer.text).toMatch(/"code":"(?:internal_error|unavailable)"/);
      }
      expect(await stand.query("select count(*) from users")).toEqual(before);
    } finally {
      await running.kill();
    }
  });
});
