import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { authContract } from "../../services/auth/auth.contract.ts";
import { eventsContract } from "../../services/events/events.contract.ts";
import { mailerContract } from "../../services/mailer/mailer.contract.ts";
import { usersContract } from "../../services/users/users.contract.ts";
import type { ActionContract } from "../../lib/contract.ts";
import { pictureForm } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { bearer, signUp } from "./accounts.ts";
import { outsideProduction, routes } from "./golden-routes.ts";
import { recordServed } from "./served.ts";

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
});
