import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { permissions, type Permission } from "../../services/api-gateway/permissions.ts";
import type { Answer, RequestOptions } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";
import {
  bearer,
  auditFields,
  fieldsOf,
  fullViewFields,
  mailedLink,
  publicViewFields,
  resetRequestsFollowedUp,
  sessionFields,
  signUp,
  tokenOf,
  type Person,
  type Role,
} from "./accounts.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
  // Never the last one: whatever happens to the moderators of single tests is then allowed.
  await signUp(service, "MO");
});
afterAll(() => service.stop());

/** Who calls; `undefined` for nobody. Where a route is about an account, `owner` tells whose it is. */
const callers: Record<string, { make?: () => Promise<Person>; owner?: "self" | "other" }> = {
  anonymous: {},
  unverified: { make: () => signUp(service) },
  customer: { make: () => signUp(service, "CU", { verified: true }), owner: "self" },
  courier: { make: () => signUp(service, "CO", { verified: true }), owner: "self" },
  manager: { make: () => signUp(service, "RM", { verified: true }), owner: "self" },
  moderator: { make: () => signUp(service, "MO") },
  "another user": { make: () => signUp(service, "CU", { verified: true }), owner: "other" },
  inactive: { make: () => inactive("CU"), owner: "self" },
  "inactive moderator": { make: () => inactive("MO") },
  "unverified moderator": { make: () => signUp(service, "MO", { verified: false }) },
};
async function inactive(role: Role): Promise<Person> {
  const person = await signUp(service, role, { verified: true });
  await service.query("update users set is_active = false where id = $1", [person.id]);
  return person;
}

/** What must come of it, by the word in the table. */
function expected({ who }: Permission, caller: string): "allowed" | readonly [number, string] {
  if (who === "anyone") return "allowed";
  if (caller === "anonymous") return [401, "not_authenticated"];
  if (caller.startsWith("inactive")) return [401, "inactive_account"];
  if (who === "signed-in") return "allowed";
  if (caller === "unverified moderator") return [403, "email_not_verified"];
  return caller === "moderator" ? "allowed" : [403, "permission_denied"];
}

const profile = registration().user_profile;
const new_password = "seven bicycles in the rain";
const creates = /POST .*(?:customers|couriers|managers|moderators)/;

/** A request that succeeds for whoever may make it. */
async function sample(route: string, target: Person): Promise<{ method: string; path: string } & RequestOptions> {
  const [method = "", pattern = ""] = route.split(" ");
  const accept = { headers: { accept: "application/json" } };
  const at = (path: string, options: RequestOptions = {}) => ({ method, path, ...options });
  if (pattern.includes(":uidb64")) return at(linkIn(await service.mailTo(target.email)), accept);
  if (pattern.endsWith("/tokens/")) return at(pattern, { body: { email: target.email, password } });
  if (pattern.endsWith("/refresh/")) {
    return at(pattern, { headers: { cookie: `refresh_token=${target.client.cookie("refresh_token") ?? ""}` } });
  }
  if (pattern.endsWith("/sessions/:id/")) return at(pattern.replace(":id", await sessionOf(target)));
  if (pattern.endsWith("/clear/") || ["GET", "DELETE"].includes(method)) {
    return at(pattern.replace(":id", String(target.id)));
  }
  if (pattern.endsWith("/password/")) return at(pattern, { body: { current_password: password, new_password } });
  if (pattern.endsWith("/password-reset/")) return at(pattern, { body: { email: target.email } });
  if (pattern.endsWith("/confirm/")) return at(pattern, { body: { token: await resetToken(target), new_password } });
  if (method === "POST") return at(pattern, { body: registration() });
  if (pattern.endsWith("/image/")) return at(pattern.replace(":id", String(target.id)), { form: pictureForm() });
  // What is there already: it is enough to see whether it would be done.
  const body = { email: target.email, user_profile: { ...profile, first_name: "Ewa" } };
  return at(pattern.replace(":id", String(target.id)), { body });
}

async function sessionOf({ id }: Person): Promise<string> {
  const [session] = await service.query<{ id: string }>("select id from sessions where user_id = $1", [id]);
  return session?.id ?? "";
}

async function resetToken({ email }: Person): Promise<string> {
  await service.client().post("/api/v1/users/password-reset/", { email });
  return tokenOf(await mailedLink(service, "reset-password", email));
}

const state = async () => ({
  users: await service.query("select * from users order by id"),
  profiles: await service.query("select * from user_profiles order by user_id"),
  // Without the times that change when a mail from before goes out.
  tokens: await service.query("select id, user_id, purpose, address, ended_at from one_time_tokens order by id"),
  sessions: await service.query("select * from sessions order by id"),
  outbox: await service.query("select id from outbox order by id"),
  mails: await service.query("select id from mails order by id"),
  resets: await service.query("select * from password_reset_requests"),
  // The refusal itself is written down.
  audit: await service.query("select * from audit_log where outcome = 'success' order by id"),
});

describe.each(Object.entries(permissions))("%s", (route, permission) => {
  test.each(Object.keys(callers))("%s", async (name) => {
    const { make, owner } = callers[name]!;
    const caller = await make?.();
    // Unverified, so that everything that can be done with an account can be done with it.
    const isOwn = /current|v1\/sessions/.test(route) || (owner === "self" && route.includes(":id"));
    const target = caller && isOwn ? caller : await signUp(service);
    if (route.includes("send-activation")) {
      await service.query("update users set is_email_verified = false where id = $1 and role <> 'MO'", [target.id]);
    }
    const { method, path, headers, ...rest } = await sample(route, target);
    const outcome = expected(permission, name);
    const before = outcome === "allowed" ? undefined : await state();
    const authorization = caller ? bearer(caller.token).headers : {};
    // The refresh cookie of another account than the token's is refused for a reason of its own.
    const isRefresh = route.includes("/refresh/");
    const options = { ...rest, headers: { ...headers, ...(isRefresh ? {} : authorization) } };
    const answer = await service.client().request(method, path, options);
    await resetRequestsFollowedUp(service);

    if (outcome !== "allowed") {
      expect([answer.status, answer.json()]).toEqual([outcome[0], { detail: expect.any(String), code: outcome[1] }]);
      expect(await state()).toEqual(before);
      expect(answer.headers.getSetCookie()).toEqual([]);
      return;
    }
    // A verified moderator needs no other link, and is told so.
    const needsNoLink = route.includes("send-activation") && name === "moderator";
    expect([answer.status, answer.text]).toEqual([
      needsNoLink ? 400 : creates.test(route) ? 201 : route.startsWith("DELETE") ? 204 : 200,
      expect.any(String),
    ]);
    if (!needsNoLink)
      expectReads(
        permission,
        answer,
        name === "moderator" || (caller?.id === target.id && !name.startsWith("inactive")),
      );
  });
});

/** Exactly the fields that the table allows; of a list, each entry. */
function expectReads({ reads }: Permission, answer: Answer, maySeeAll: boolean): void {
  if (answer.status === 204) {
    expect([reads, answer.text]).toEqual(["nothing", ""]);
    return;
  }
  const body: unknown = JSON.parse(answer.text);
  if (reads === "sessions") {
    expect((body as object[]).map((session) => fieldsOf(session))).toEqual([sessionFields]);
    return;
  }
  if (reads === "audit") {
    expect(Object.keys((body as object[])[0] ?? {}).toSorted()).toEqual(auditFields);
    return;
  }
  if (reads === "nothing") {
    expect(fieldsOf(body as object).filter((field) => field !== "detail")).toEqual([]);
    return;
  }
  const fields = reads === "full" || maySeeAll ? fullViewFields : publicViewFields;
  const shown = Array.isArray(body) ? (body as object[]) : [body as object];
  expect(shown).not.toEqual([]);
  for (const view of shown) expect(fieldsOf(view)).toEqual(fields);
}

test("every caller of the table is refused somewhere or allowed somewhere", () => {
  const words = Object.values(permissions).map(({ who }) => who);
  expect(new Set(words)).toEqual(new Set(["anyone", "signed-in", "moderator"]));
});

describe("which fields a body may set", () => {
  /** Every column that there is, and every field that a view shows, each with a value that nobody has. */
  const everything = (email: string) => ({
    id: 424_242,
    user_id: 424_242,
    email,
    email_canonical: "canonical@example.org",
    pending_email: "pending@example.org",
    password: "another long password",
    current_password: password,
    password_hash: "$2b$04$canary",
    role: "CO",
    roles_held: ["CU", "MO"],
    is_active: false,
    is_email_verified: true,
    is_staff: true,
    last_login: "2001-02-03T04:05:06.000Z",
    session_epoch: 77,
    version: 99,
    created_at: "2001-02-03T04:05:06.000Z",
    image_path: "canary.png",
    full_name: "Canary Canary",
    user_profile: {
      user_id: 424_242,
      first_name: "Changed",
      last_name: "Everything",
      phone: "+375291234567",
      birth_date: "1970-01-01",
      full_name: "Canary Canary",
      image_path: "canary.png",
      image_url: "https://evil.example/canary.png",
      age: 3,
      __typename: "x",
    },
  });
  /** What the service keeps by itself along with a change. */
  const bookkeeping = new Set([
    "version",
    "revision",
    "access_changed_at",
    "email_canonical",
    "roles_held",
    "session_epoch",
  ]);
  type Row = Record<string, unknown>;
  const columns = async (id: number): Promise<Row> => {
    const [user] = await service.query<Row>("select * from users where id = $1", [id]);
    const [own] = await service.query<Row>("select * from user_profiles where user_id = $1", [id]);
    return {
      ...user,
      ...Object.fromEntries(Object.entries(own ?? {}).map(([name, value]) => [`user_profile.${name}`, value])),
    };
  };
  const changedFields = (before: Row, after: Row) =>
    Object.keys(after).filter((name) => String(before[name]) !== String(after[name]) && !bookkeeping.has(name));
  const columnOf: Record<string, string> = {
    password: "password_hash",
    "user_profile.image_url": "user_profile.image_path",
  };
  const inTable = ({ writes }: Permission) => writes.map((name) => columnOf[name] ?? name);
  /** The same as fields of a form that has a picture as well. */
  const asForm = (body: Readonly<Record<string, unknown>>): FormData => {
    const form = pictureForm();
    for (const [name, value] of Object.entries(body)) form.append(name, JSON.stringify(value));
    return form;
  };
  const query = `?${new URLSearchParams({ role: "MO", is_staff: "true", is_active: "false", id: "424242" }).toString()}`;

  const withBody = Object.entries(permissions).filter(([route]) => /^(?:PUT|PATCH) /.test(route));
  test.each(withBody)("%s: exactly those of the table", async (route, permission) => {
    const target = await signUp(service);
    const caller = permission.who === "moderator" ? await signUp(service, "MO") : target;
    const email = uniqueEmail("every.field");
    const before = await columns(target.id);
    const [method = "", pattern = ""] = route.split(" ");
    const path = pattern.replace(":id", String(target.id)) + query;
    const isForm = pattern.endsWith("/image/");
    const options = isForm ? { form: asForm(everything(email)) } : { body: everything(email) };
    const answer = await caller.client.request(method, path, options);
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    const after = await columns(target.id);
    expect(changedFields(before, after).toSorted()).toEqual(inTable(permission).toSorted());
    if (!isForm) expect([after["email"], after["pending_email"]]).toContain(email);
    expectBookkeeping(before, after);
  });

  function expectBookkeeping(before: Row, after: Row): void {
    expect(after["version"]).not.toBe(99);
    expect(after["email_canonical"]).toBe(String(after["email"]).toLowerCase());
    expect(after["roles_held"]).toEqual([...new Set([...(before["roles_held"] as string[]), after["role"]])]);
    expect(after["session_epoch"]).not.toBe(77);
  }

  const settingPassword = Object.entries(permissions).filter(([, { writes }]) => writes.join() === "password");
  test.each(settingPassword)("%s: exactly those of the table", async (route, permission) => {
    // Verified: a followed link shows as well that its address is read.
    const target = await signUp(service, "CU", { verified: true });
    const { method, path, body } = await sample(route, target);
    const before = await columns(target.id);
    const sent = { ...everything(uniqueEmail("every.field")), ...(body as object) };
    expect((await target.client.request(method, path + query, { body: sent })).status).toBe(200);
    const after = await columns(target.id);
    expect(changedFields(before, after)).toEqual(inTable(permission));
    expectBookkeeping(before, after);
  });

  const creating = Object.entries(permissions).filter(([route]) => creates.test(route));
  test.each(creating)(
    "%s: exactly those of the table; the rest is as of any new account",
    async (route, permission) => {
      const caller = permission.who === "moderator" ? await signUp(service, "MO") : undefined;
      const path = `${route.split(" ")[1] ?? ""}${query}`;
      const create = async (body: unknown): Promise<Row> => {
        const answer = await service.client().request("POST", path, { body, ...(caller && bearer(caller.token)) });
        expect([answer.status, answer.text]).toEqual([201, expect.any(String)]);
        return columns(Number(answer.json()["id"]));
      };
      const ordinary = await create({ ...registration(), user_profile: { ...profile, first_name: "Ewa" } });
      const made = await create(everything(uniqueEmail("every.field")));
      const differing = changedFields(ordinary, made).filter(
        (name) => !["id", "created_at", "user_profile.user_id"].includes(name),
      );
      expect(differing.toSorted()).toEqual(inTable(permission).toSorted());
      expect(made).toMatchObject({ version: 1, session_epoch: 0, is_staff: false, roles_held: [made["role"]] });
      expect(Number(made["id"])).toBeLessThan(424_242);
      expect(Math.abs(Date.now() - (made["created_at"] as Date).getTime())).toBeLessThan(60_000);
    },
  );
});
