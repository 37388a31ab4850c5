import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import type { ActionContract } from "../../lib/contract.ts";
import { authContract } from "../../services/auth/auth.contract.ts";
import { eventsContract } from "../../services/events/events.contract.ts";
import { mailerContract } from "../../services/mailer/mailer.contract.ts";
import { usersContract } from "../../services/users/users.contract.ts";
import { bearer, said, signUp, type Person } from "../contract/accounts.ts";
import { outsideProduction, routes } from "../contract/golden-routes.ts";
import { stateOf } from "../contract/route-samples.ts";
import { startStand } from "../contract/stand.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, F: paths that nobody wrote, asked for by a moderator, who may do the most. */
const environments: Record<string, Record<string, string>> = {
  development: { NODE_ENV: "development" },
  production: {
    ...{ NODE_ENV: "production", PASSWORD_HASH_COST: "10" },
    // Demanded there; nobody listens, and events wait in the outbox.
    ...{ KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: "1" },
  },
};
const actions = [authContract, usersContract, mailerContract, eventsContract]
  .flatMap((contract) => Object.values<ActionContract>(contract))
  .map(({ name }) => name);
const notFound = [404, { detail: "Not found.", code: "not_found" }];

/** What moleculer-web, Express and Django leave open, and what lies beside the service on its disk. */
const neverThere = [
  ...["/metrics", "/repl", "/~node/services", "/~node/options", "/~node/health", "/~node/list", "/$node/services"],
  ...["/api/~node/services", "/api/v1/~node/services", "/api/v1/$node/health", "/api/~node/list"],
  ...["/api/listAliases", "/api/list-aliases", "/listAliases", "/api-gateway/rest", "/rest", "/api/v1/", "/api/", "/"],
  ...["/.env", "/.git/config", "/package.json", "/main.ts", "/docs/package.json", "/docs/../package.json"],
  ...["/docs/..%2f..%2fpackage.json", "/media/", "/media/..%2f..%2fmain.ts"],
  ...["/health", "/health/", "/health/services", "/admin", "/admin/login/", "/graphql", "/debug", "/debug/pprof/"],
];
/** The same for whoever decodes once more, or tidies up before he compares. */
const disguises: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => `/${path}`,
  (path) => `/.${path}`,
  (path) => `/api/v1/tokens/..${path}`,
  (path) => path.replaceAll("~", "%7e").replaceAll("$", "%24").replaceAll(".", "%2e"),
  (path) => `${path}?x=1`,
  (path) => `${path};x=1`,
  (path) => `${path}%20`,
  (path) => `http://localhost${path}`,
];

describe.each(Object.keys(environments))("%s", (name) => {
  let stand: TestStand;
  let moderator: Person;
  beforeAll(async () => {
    stand = await startStand(environments[name]);
    moderator = await signUp(stand, "MO");
  });
  afterAll(() => stand.stop());

  /** The path as it is written here: `fetch` would tidy it up. */
  async function ask(method: string, path: string): Promise<[number, unknown]> {
    const { hostname, port } = new URL(stand.url);
    const { headers } = bearer(moderator.token);
    const sent = request({ method, path, headers, hostname, port }).end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return [answer.statusCode ?? 0, JSON.parse((await text(answer)) || "null")];
  }

  test("67 what was only for development, and what other services of this kind leave open: 404", async () => {
    const paths = [...neverThere, ...(name === "production" ? ["/dev/mailbox.json", "/dev/mailbox", "/dev/"] : [])];
    for (const path of paths.flatMap((one) => disguises.map((disguise) => disguise(one)))) {
      for (const method of ["GET", "POST"]) {
        expect([method, path, ...(await ask(method, path))]).toEqual([method, path, ...notFound]);
      }
    }
  });

  test("67 no path leads to any action by its name", async () => {
    const before = await stateOf(stand);
    for (const action of actions) {
      const [group = "", one = ""] = action.split(".");
      const dashed = one.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      for (const tail of new Set([action, `${group}/${one}`, `${group}/${dashed}`, `${group}%2e${one}`])) {
        for (const prefix of ["/", "/api/", "/api/v1/", "/~", "/v1."]) {
          // "/api/v1/users/<name>" has the form of "/api/v1/users/{id}/".
          if (prefix === "/api/v1/" && tail.startsWith("users/")) continue;
          for (const method of ["GET", "POST"]) {
            const path = `${prefix}${tail}?user_id=${moderator.id}&id=${moderator.id}`;
            expect([method, path, (await ask(method, path))[0]]).toEqual([method, path, 404]);
          }
        }
      }
    }
    expect(await stateOf(stand)).toEqual(before);
  });

  test("65 16.5.1 an unknown path is 404 before it is asked who wants it", async () => {
    for (const path of [
      "/api/v1/users/1/secrets/",
      "/api/v2/users/current/",
      "/api/v1/users/current/../../admin",
      "/API/V1/USERS/CURRENT/",
      "/api/v1//users/current/",
    ]) {
      for (const options of [{}, bearer("a.b.c"), bearer(moderator.token)]) {
        expect([path, ...said(await stand.client().get(path, options))]).toEqual([path, ...notFound]);
      }
    }
  });

  test("68 3.5.3 a preflight for any route: 204, and nothing is run", async () => {
    const before = await stateOf(stand);
    for (const route of name === "production" ? routes : [...routes, ...outsideProduction]) {
      const [method = "", pattern = ""] = route.split(" ");
      const path = pattern.replace(":id", String(moderator.id)).replace(":uidb64", "MQ");
      const headers = { ...bearer(moderator.token).headers, "access-control-request-method": method };
      const answer = await stand.client().request("OPTIONS", path, { headers });
      expect([route, answer.status, answer.text]).toEqual([route, 204, ""]);
    }
    expect(await stateOf(stand)).toEqual(before);
  });
});
