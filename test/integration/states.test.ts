import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { bearer, said, signUp, type Person, type Stand } from "../contract/accounts.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { password } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { startService, type TestService } from "../support/service.ts";

interface Node {
  readonly url: string;
  readonly roles: RolesClient;
}
let service: TestService;
let second: RunningNode;
/**
 * Two nodes on one database, without a transporter: a moderator's change is made on the first, and what that one
 * broadcasts never reaches the other.
 */
let nodes: { one: Node; other: Node };

beforeAll(async () => {
  service = await startService();
  const [web, grpc] = [await freePort(), await freePort()];
  const ports = { WEB_APP_PORT: String(web), GRPC_SERVER_PORT: String(grpc) };
  second = await startNode(loadConfig({ ...service.env, ...ports }), silentLog);
  nodes = {
    one: { url: service.url, roles: rolesClient(service.grpcAddress) },
    other: { url: `http://127.0.0.1:${web}`, roles: rolesClient(`127.0.0.1:${grpc}`) },
  };
});
afterAll(async () => {
  for (const { roles } of Object.values(nodes)) roles.close();
  await second.stop();
  await service.stop();
});

const unauthenticated = (details: string) => ({ code: status.UNAUTHENTICATED, details });
const names = {
  CU: "USER_ROLE_CUSTOMER",
  CO: "USER_ROLE_COURIER",
  RM: "USER_ROLE_RESTAURANT_MANAGER",
  MO: "USER_ROLE_MODERATOR",
};

describe.each([
  ["one", "at once"],
  ["other", "within 5 s although its broadcast was lost"],
] as const)("a moderator's change, on node %s", (name, when) => {
  const node = () => nodes[name];
  const at = (): Stand => ({ ...service, url: node().url, client: () => new Client(node().url) });
  const roleOf = ({ token }: Person) => node().roles.getUserRole(token);
  const get = ({ token }: Person, path = "current/") => at().client().get(`/api/v1/users/${path}`, bearer(token));
  let moderator: Person;
  beforeAll(async () => {
    moderator = await signUp(service, "MO");
  });
  async function change({ id }: Person, body: unknown): Promise<void> {
    expect((await moderator.client.request("PATCH", `/api/v1/users/${id}/`, { body })).status).toBe(200);
  }
  /** What the change says holds on the first node with the first question, on the other one within 5 s. */
  async function counts(expectations: () => Promise<void>): Promise<void> {
    if (name === "one") await expectations();
    else await eventually(when, () => expectations().then(() => true), 5000);
  }
  const expectRole = (person: Person, answer: object) =>
    counts(async () => expect(await roleOf(person)).toEqual(answer));
  const expectRest = (person: Person, path: string, answer: unknown) =>
    counts(async () => expect(said(await get(person, path))).toEqual(answer));
  const isRole = ({ id }: Person, role: keyof typeof names) => ({ user_id: String(id), role: names[role] });
  /** Known to the node already: whatever it may have remembered is old after the change. */
  async function known(role: "CU" | "CO" | "RM" = "CU", verified = true): Promise<Person> {
    const person = await signUp(at(), role, { verified });
    expect((await get(person)).status).toBe(200);
    expect(await roleOf(person)).toEqual(
      verified ? isRole(person, role) : unauthenticated("User has got unverified email"),
    );
    return person;
  }

  test(`deactivated: REST, refresh, sign-in and gRPC refuse ${when}, with the reason`, async () => {
    const person = await known();
    await change(person, { is_active: false });
    await expectRole(person, unauthenticated("User isn't active"));
    await expectRest(person, "current/", [401, { detail: "User is inactive", code: "inactive_account" }]);
    expect((await person.client.post("/api/v1/tokens/refresh/")).status).toBe(401);
    const signIn = await at().client().post("/api/v1/tokens/", { email: person.email, password });
    expect(said(signIn)).toEqual([401, expect.objectContaining({ code: "invalid_credentials" })]);
  });

  test(`reactivated: sessions of before are dead ${when}, a new sign-in works everywhere`, async () => {
    const person = await known();
    await change(person, { is_active: false });
    await change(person, { is_active: true });
    await expectRole(person, unauthenticated("Session has ended"));
    await expectRest(person, "current/", [401, { detail: "Session has ended", code: "session_ended" }]);
    expect((await person.client.post("/api/v1/tokens/refresh/")).status).toBe(401);
    const client = at().client();
    expect((await client.post("/api/v1/tokens/", { email: person.email, password })).status).toBe(200);
    const again = { ...person, token: client.cookie("access_token") ?? "" };
    expect(await roleOf(again)).toEqual(isRole(person, "CU"));
  });

  test.each(["CO", "RM", "MO"] as const)(
    `made %s: the token that he has already counts as that ${when}`,
    async (role) => {
      const person = await known();
      expect((await get(person, "")).status).toBe(403);
      await change(person, { role });
      await expectRole(person, isRole(person, role));
      await expectRest(person, "current/", [200, expect.objectContaining({ role })]);
      await counts(async () => expect((await get(person, "")).status).toBe(role === "MO" ? 200 : 403));
    },
  );

  test(`a moderator demoted: his token moderates no more ${when}`, async () => {
    const person = await signUp(at(), "MO");
    expect((await get(person, "?limit=1")).status).toBe(200);
    await change(person, { role: "CU" });
    await expectRest(person, "?limit=1", [403, expect.objectContaining({ code: "permission_denied" })]);
    const stranger = await signUp(service);
    expect(Object.keys((await get(person, `${stranger.id}/`)).json())).toEqual(["id", "role", "user_profile"]);
    expect(await roleOf(person)).toEqual(isRole(person, "CU"));
  });

  test(`verified and unverified again: it counts ${when}`, async () => {
    const person = await known("CU", false);
    await change(person, { is_email_verified: true });
    await expectRole(person, isRole(person, "CU"));
    await expectRest(person, "current/", [200, expect.objectContaining({ is_email_verified: true })]);
    await change(person, { is_email_verified: false });
    await expectRole(person, unauthenticated("User has got unverified email"));
    await expectRest(person, "current/", [200, expect.objectContaining({ is_email_verified: false })]);
  });

  test(`a moderator whose address is no longer verified: moderator routes are closed ${when}`, async () => {
    const person = await signUp(at(), "MO");
    expect((await get(person, "?limit=1")).status).toBe(200);
    await change(person, { is_email_verified: false });
    await expectRest(person, "?limit=1", [403, expect.objectContaining({ code: "email_not_verified" })]);
  });

  test(`signed out on the first node: the access token is dead ${when}`, async () => {
    const person = await signUp(service, "CU", { verified: true });
    expect((await get(person)).status).toBe(200);
    expect(await roleOf(person)).toEqual(isRole(person, "CU"));
    await person.client.post("/api/v1/tokens/clear/");
    await expectRole(person, unauthenticated("Session has ended"));
    await expectRest(person, "current/", [401, { detail: "Session has ended", code: "session_ended" }]);
  });
});
