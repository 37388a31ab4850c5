import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { authContract } from "../../services/auth/auth.contract.ts";
import { eventsContract } from "../../services/events/events.contract.ts";
import { mailerContract } from "../../services/mailer/mailer.contract.ts";
import { usersContract } from "../../services/users/users.contract.ts";
import type { ActionContract } from "../../lib/contract.ts";
import { pictureForm } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { bearer, signUp } from "./accounts.ts";
import { recordServed } from "./served.ts";

/** All that there is. Whoever adds a route adds it here, and thinks about who may call it. */
const routes = [
  "DELETE /api/v1/sessions/",
  "DELETE /api/v1/sessions/:id/",
  "DELETE /api/v1/users/:id/sessions/",
  "GET /api/v1/audit/",
  "GET /api/v1/sessions/",
  "GET /api/v1/users/",
  "GET /api/v1/users/:id/",
  "GET /api/v1/users/:uidb64/confirm-email/:token/",
  "GET /api/v1/users/:uidb64/reset-password/:token/",
  "GET /api/v1/users/:uidb64/undo-email/:token/",
  "GET /api/v1/users/:uidb64/verify/:token/",
  "GET /api/v1/users/current/",
  "GET /api/v1/users/current/send-activation/",
  "GET /docs/",
  "GET /docs/start.js",
  "GET /docs/swagger-ui-bundle.js",
  "GET /docs/swagger-ui.css",
  "GET /health/live",
  "GET /health/ready",
  "GET /media/avatars/:name",
  "GET /media/default-avatar.svg",
  "GET /openapi.json",
  "PATCH /api/v1/users/:id/",
  "PATCH /api/v1/users/current/",
  "POST /api/v1/tokens/",
  "POST /api/v1/tokens/clear/",
  "POST /api/v1/tokens/refresh/",
  "POST /api/v1/users/:uidb64/confirm-email/:token/",
  "POST /api/v1/users/:uidb64/reset-password/:token/",
  "POST /api/v1/users/:uidb64/undo-email/:token/",
  "POST /api/v1/users/:uidb64/verify/:token/",
  "POST /api/v1/users/couriers/",
  "POST /api/v1/users/current/password/",
  "POST /api/v1/users/customers/",
  "POST /api/v1/users/managers/",
  "POST /api/v1/users/moderators/",
  "POST /api/v1/users/password-reset/",
  "POST /api/v1/users/password-reset/confirm/",
  "PUT /api/v1/users/:id/",
  "PUT /api/v1/users/:id/image/",
  "PUT /api/v1/users/current/",
  "PUT /api/v1/users/current/image/",
];
const outsideProduction = ["GET /dev/mailbox.json", "GET /dev/mailbox/"];

/** Reachable by other services alone, whatever a gateway might map by itself. */
const neverReachable = [
  "auth.accessChanges",
  "auth.accessStates",
  "auth.health",
  "events.health",
  "mailer.health",
  "users.appendRefusals",
  "users.health",
  "users.picture",
];

const contracts: ActionContract[] = [authContract, usersContract, mailerContract, eventsContract].flatMap((contract) =>
  Object.values<ActionContract>(contract),
);

const served = recordServed();
const environments: Record<string, Record<string, string>> = {
  development: { NODE_ENV: "development" },
  production: {
    NODE_ENV: "production",
    PASSWORD_HASH_COST: "10",
    PUBLIC_URL: "https://id.example.com",
    // Demanded there; nobody listens, and events wait in the outbox.
    KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1",
    KAFKA_BOOTSTRAP_SERVER_PORT: "1",
  },
};

describe.each(Object.keys(environments))("%s", (name) => {
  let service: TestService;
  let found: string[];
  beforeAll(async () => {
    served.reset();
    service = await startService(environments[name]);
    found = served.routes();
  });
  afterAll(() => service.stop());

  const expected = (name === "production" ? routes : [...routes, ...outsideProduction]).toSorted();

  test("the gateway serves exactly the routes of the list", () => {
    expect(found).toEqual(expected);
  });

  test("each of them answers: not 404, not 405", async () => {
    const { token, client } = await signUp(service, "MO");
    const pictured = await client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm() });
    const { image_url } = pictured.json()["user_profile"] as { image_url: string };
    const picture = image_url.split("/").at(-1) ?? "";
    // Whose sessions the moderator may end without ending his own.
    const other = await signUp(service);
    for (const route of expected) {
      const [method = "", pattern = ""] = route.split(" ");
      const inPath = { ":id": String(other.id), ":uidb64": "MQ", ":token": "x", ":name": picture };
      const path = Object.entries(inPath).reduce((so, [name, value]) => so.replace(name, value), pattern);
      const answer = await service.client().request(method, path, bearer(token));
      expect([route, answer.status === 404 || answer.status === 405]).toEqual([route, false]);
    }
  });

  test("a preflight for any of them: 204, and nothing is run", async () => {
    const { token } = await signUp(service, "MO");
    const state = () => service.query("select * from users, sessions where sessions.user_id = users.id order by 1");
    const before = await state();
    for (const route of expected) {
      const [method = "", path = ""] = route.split(" ");
      const headers = { ...bearer(token).headers, "access-control-request-method": method };
      const answer = await service.client().request("OPTIONS", path, { headers });
      expect([route, answer.status, answer.text]).toEqual([route, 204, ""]);
    }
    expect(await state()).toEqual(before);
  });

  test("what was only for development, and what other services of this kind leave open: 404", async () => {
    const { client } = await signUp(service, "MO");
    const paths = [
      ...(name === "production" ? ["/dev/mailbox.json", "/dev/mailbox/", "/dev/mailbox", "/dev/"] : []),
      ...[
        "/metrics",
        "/repl",
        "/~node/services",
        "/~node/options",
        "/~node/health",
        "/$node/services",
        "/api/~node/list",
      ],
      ...["/api/listAliases", "/api/list-aliases", "/listAliases", "/api-gateway/rest", "/rest", "/api/v1/"],
      ...["/.env", "/.git/config", "/package.json", "/main.ts", "/docs/package.json", "/docs/../package.json"],
      ...[
        "/docs/..%2f..%2fpackage.json",
        "/media/",
        "/media/..%2f..%2fmain.ts",
        "/health",
        "/health/",
        "/admin",
        "/graphql",
      ],
    ];
    for (const path of paths) {
      for (const method of ["GET", "POST"]) {
        const answer = await client.request(method, path);
        expect([method, path, answer.status, answer.text]).toEqual([
          method,
          path,
          404,
          '{"detail":"Not found.","code":"not_found"}',
        ]);
      }
    }
  });

  test("the docs are there", async () => {
    for (const path of ["/docs/", "/docs", "/openapi.json"]) {
      expect((await service.client().get(path)).status).toBe(200);
    }
  });

  test("the broker runs exactly the actions of the contracts, each with who may call it", () => {
    const actions = service.broker.registry.actions.list({
      onlyLocal: true,
      skipInternal: false,
      withEndpoints: false,
    });
    const names = actions.map((action: { name: string }) => action.name);
    expect(names.toSorted()).toEqual(contracts.map((contract) => contract.name).toSorted());
  });

  test("what must never be reachable is what the contracts call internal", () => {
    const internal = contracts.filter(({ auth }) => auth === "internal");
    expect(internal.map((contract) => contract.name).toSorted()).toEqual(neverReachable);
    expect(internal.every(({ visibility }) => visibility !== "published")).toBe(true);
  });

  test("no path leads to any action by its name", async () => {
    const { client, id } = await signUp(service, "MO");
    const names = [...neverReachable, ...contracts.map((contract) => contract.name)];
    for (const action of new Set(names)) {
      const [group = "", one = ""] = action.split(".");
      const dashed = one.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      for (const tail of new Set([action, `${group}/${one}`, `${group}/${dashed}`])) {
        for (const prefix of ["/", "/api/", "/api/v1/"]) {
          // "/api/v1/users/<name>" has the form of "/api/v1/users/{id}/".
          if (prefix === "/api/v1/" && (tail.startsWith("users/") || tail === "users/current")) continue;
          for (const method of ["GET", "POST"]) {
            const answer = await client.request(method, `${prefix}${tail}?user_id=${id}`);
            expect([method, prefix + tail, answer.status]).toEqual([method, prefix + tail, 404]);
          }
        }
      }
    }
  });
});
