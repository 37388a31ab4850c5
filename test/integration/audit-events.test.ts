import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { auditedEventNames, auditedEvents, type AuditedEvent } from "../../lib/security-log.ts";
import { mailedLink, resetRequestsFollowedUp, signUp, submitForm, tokenOf, type Person } from "../contract/accounts.ts";
import { Client, type Answer, type RequestOptions } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";

let service: TestService;
let moderator: Person;
beforeAll(async () => {
  const started = await startService({ THROTTLE_WRONG_PASSWORDS: "2", THROTTLE_MAILS: "1" });
  service = { ...started, client: () => new Labelled(started.url) };
  moderator = await signUp(service, "MO");
});
afterAll(() => service.stop());

/** By this the rows of what happens are found again. */
let label = "";
/** A client that names each of its requests after the story that is told. */
class Labelled extends Client {
  override request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    return super.request(method, path, { ...options, headers: { "x-request-id": label, ...options.headers } });
  }
}

const newPassword = "seven bicycles in the rain";
const json = { headers: { accept: "application/json" } };
const sessionPath = "/api/v1/sessions/";
const login = (email: string, typed = password) => service.client().post("/api/v1/tokens/", { email, password: typed });
const patch = (person: Person, body: unknown) => person.client.request("PATCH", "/api/v1/users/current/", { body });
const moderate = (method: string, path: string, options = {}) =>
  moderator.client.request(method, `/api/v1/users/${path}`, options);
const sessionsOf = async ({ id }: Person) =>
  (await service.query<{ id: string }>("select id from sessions where user_id = $1 order by created_at", [id])).map(
    (session) => session.id,
  );

/** A story, and the rows that it leaves: each once. `self`, `moderator` and `other` stand for their ids. */
type Who = "self" | "moderator" | "other" | null;
type Expected = readonly [AuditedEvent, Who, Who, object];
interface Story {
  readonly name: string;
  /** Done before: not looked at. */
  readonly before?: (person: Person) => Promise<unknown>;
  readonly happens: (person: Person) => Promise<unknown>;
  readonly rows: readonly Expected[];
}
const verified = { by: "verify-email", fields: ["is_email_verified"], is_email_verified: { from: false, to: true } };

const stories: readonly Story[] = [
  {
    name: "signing in",
    happens: ({ email }) => login(email),
    rows: [["authn_login_success", null, "self", {}]],
  },
  {
    name: "a wrong password",
    happens: ({ email }) => login(email, "wrong"),
    rows: [["authn_login_fail", null, "self", {}]],
  },
  {
    name: "an address that nobody has",
    happens: () => login(uniqueEmail("nobody"), "wrong"),
    rows: [["authn_login_fail", null, null, {}]],
  },
  {
    name: "what is no address",
    happens: () => login("no address", "wrong"),
    rows: [["authn_login_fail", null, null, {}]],
  },
  {
    name: "a deactivated account",
    before: ({ id }) => service.query("update users set is_active = false where id = $1", [id]),
    happens: ({ email }) => login(email),
    rows: [["authn_login_fail", null, "self", {}]],
  },
  {
    name: "wrong passwords until it locks",
    before: ({ email }) => login(email, "wrong"),
    happens: ({ email }) => login(email, "wrong"),
    rows: [
      ["authn_login_fail", null, "self", {}],
      ["authn_login_lock", null, "self", { wrong_in_a_row: 2, seconds: 900 }],
    ],
  },
  {
    name: "one more while it is locked",
    before: async ({ email }) => [await login(email, "wrong"), await login(email, "wrong")],
    happens: ({ email }) => login(email),
    rows: [["excess_rate_limit_exceeded", null, null, { budget: "wrong-passwords" }]],
  },
  {
    name: "a mail too many",
    before: ({ email }) => service.client().post("/api/v1/users/password-reset/", { email }),
    happens: ({ email }) => service.client().post("/api/v1/users/password-reset/", { email }),
    rows: [["excess_rate_limit_exceeded", null, null, { budget: "reset-mails" }]],
  },
  {
    name: "a wrong password while signed in",
    happens: (person) => patch(person, { email: uniqueEmail(), current_password: "wrong" }),
    rows: [["authn_login_fail", "self", "self", {}]],
  },
  {
    name: "signing out",
    happens: ({ client }) => client.post("/api/v1/tokens/clear/"),
    rows: [["session_logout", "self", "self", { session_id: expect.any(String) }]],
  },
  {
    name: "signing out with a refresh token alone",
    happens: ({ client }) =>
      service.client().post("/api/v1/tokens/clear/", undefined, {
        headers: { cookie: `refresh_token=${client.cookie("refresh_token") ?? ""}` },
      }),
    rows: [["session_logout", null, "self", { session_id: expect.any(String) }]],
  },
  {
    name: "ending another session",
    before: ({ email }) => login(email),
    happens: async (person) => person.client.request("DELETE", `${sessionPath}${(await sessionsOf(person))[1] ?? ""}/`),
    rows: [["session_logout", "self", "self", { session_id: expect.any(String) }]],
  },
  {
    name: "ending all others",
    before: async ({ email }) => [await login(email), await login(email)],
    happens: ({ client }) => client.request("DELETE", sessionPath),
    rows: [["session_logout", "self", "self", { ended: 2 }]],
  },
  {
    name: "a refresh token whose session has ended",
    before: ({ id }) => service.query("update sessions set ended_at = now() where user_id = $1", [id]),
    happens: ({ client }) =>
      service.client().post("/api/v1/tokens/refresh/", undefined, {
        headers: { cookie: `refresh_token=${client.cookie("refresh_token") ?? ""}` },
      }),
    rows: [["session_use_after_expire", null, "self", { session_id: expect.any(String) }]],
  },
  {
    name: "changing the password",
    happens: ({ client }) =>
      client.post("/api/v1/users/current/password/", { current_password: password, new_password: newPassword }),
    rows: [["authn_password_change", "self", "self", {}]],
  },
  {
    name: "asking for a link to set a password",
    happens: async ({ email }) => {
      await service.client().post("/api/v1/users/password-reset/", { email });
      await resetRequestsFollowedUp(service);
    },
    rows: [["authn_token_created", null, "self", { purpose: "reset-password" }]],
  },
  {
    name: "setting it, which also verifies the address",
    before: ({ email }) => service.client().post("/api/v1/users/password-reset/", { email }),
    happens: async ({ email }) => {
      const token = tokenOf(await mailedLink(service, "reset-password", email));
      await service.client().post("/api/v1/users/password-reset/confirm/", { token, new_password: newPassword });
    },
    rows: [
      ["user_updated", null, "self", { ...verified, by: "reset link" }],
      ["authn_password_change", null, "self", { by: "reset link" }],
    ],
  },
  {
    name: "verifying the address",
    happens: async ({ email, client }) => client.get(linkIn(await service.mailTo(email)), json),
    rows: [["user_updated", null, "self", verified]],
  },
  {
    name: "verifying it and setting a password: I did not register",
    happens: async ({ email }) =>
      submitForm(service, linkIn(await service.mailTo(email)), { new_password: newPassword }),
    rows: [
      ["user_updated", null, "self", verified],
      ["authn_password_change", null, "self", { by: "disowned registration" }],
    ],
  },
  {
    name: "asking for another address, and another name",
    happens: (person) =>
      patch(person, { email: uniqueEmail(), current_password: password, user_profile: { first_name: "Ewa" } }),
    rows: [["user_updated", "self", "self", { fields: ["pending_email", "user_profile.first_name"] }]],
  },
  {
    name: "confirming another address",
    happens: async (person) => {
      const email = uniqueEmail();
      await patch(person, { email, current_password: password });
      await submitForm(service, await mailedLink(service, "confirm-email", email), { password });
    },
    rows: [
      ["user_updated", "self", "self", { fields: ["pending_email"] }],
      [
        "user_updated",
        null,
        "self",
        {
          by: "confirm-email",
          fields: ["email", "pending_email", "is_email_verified"],
          is_email_verified: { from: false, to: true },
        },
      ],
    ],
  },
  {
    name: "taking the change of address back",
    before: (person) => patch(person, { email: uniqueEmail(), current_password: password }),
    happens: async ({ email }) =>
      submitForm(service, await mailedLink(service, "undo-email", email), { new_password: newPassword }),
    rows: [
      ["user_updated", null, "self", { by: "undo-email", fields: ["pending_email"] }],
      ["authn_password_change", null, "self", { by: "undo-email" }],
    ],
  },
  {
    name: "another picture of one's own",
    happens: ({ client }) => client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm() }),
    rows: [["user_updated", "self", "self", { fields: ["user_profile.image_url"] }]],
  },
  {
    name: "a moderator who changes an account",
    happens: ({ id }) =>
      moderate("PATCH", `${id}/`, {
        body: { role: "RM", is_active: false, email: uniqueEmail(), user_profile: { last_name: "Nowak" } },
      }),
    rows: [
      [
        "authz_change",
        "moderator",
        "self",
        {
          fields: ["email", "role", "is_active", "user_profile.last_name"],
          role: { from: "CU", to: "RM" },
          is_active: { from: true, to: false },
        },
      ],
    ],
  },
  {
    name: "a moderator who changes nothing",
    happens: ({ id }) => moderate("PATCH", `${id}/`, { body: { role: "CU" } }),
    rows: [["authz_change", "moderator", "self", { fields: [] }]],
  },
  {
    name: "a moderator who changes a picture",
    happens: ({ id }) => moderate("PUT", `${id}/image/`, { form: pictureForm() }),
    rows: [["authz_change", "moderator", "self", { fields: ["user_profile.image_url"] }]],
  },
  {
    name: "a moderator who ends all sessions",
    happens: ({ id }) => moderate("DELETE", `${id}/sessions/`),
    rows: [["session_logout", "moderator", "self", {}]],
  },
  {
    name: "a moderator who makes another one",
    happens: () => moderate("POST", "moderators/", { body: registration() }),
    rows: [["user_created", "moderator", "other", { role: "MO" }]],
  },
  {
    name: "a moderator who looks at the audit log",
    happens: ({ id }) => moderator.client.get(`/api/v1/audit/?subject=${id}`),
    rows: [["sensitive_read", "moderator", "self", { object: "audit_log", filters: ["subject"] }]],
  },
  {
    name: "a moderator who looks at an account",
    happens: ({ id }) => moderator.client.get(`/api/v1/users/${id}/`),
    rows: [["sensitive_read", "moderator", "self", { object: "account" }]],
  },
  {
    name: "a moderator who goes through the accounts",
    happens: () => moderator.client.get("/api/v1/users/?role=cu&search=anna&limit=5"),
    rows: [["sensitive_read", "moderator", null, { object: "accounts", filters: ["role", "search"] }]],
  },
  {
    name: "registering",
    happens: () => service.client().post("/api/v1/users/couriers/", registration()),
    rows: [["user_created", null, "other", { role: "CO" }]],
  },
  {
    name: "registering again with the key and another password",
    happens: async () => {
      const [headers, body] = [{ "idempotency-key": randomUUID() }, registration()];
      for (const password of [body.password, "another horse battery"])
        await service.client().post("/api/v1/users/couriers/", { ...body, password }, { headers });
    },
    rows: [
      ["user_created", null, "other", { role: "CO" }],
      ["authn_login_fail", null, "other", {}],
    ],
  },
  {
    name: "what moderators alone may do, to an account",
    happens: ({ client }) => client.request("PATCH", `/api/v1/users/${moderator.id}/`, { body: { role: "CU" } }),
    rows: [["authz_fail", "self", "moderator", { route: "PATCH /api/v1/users/:id/", code: "permission_denied" }]],
  },
  {
    name: "what moderators alone may do, with a file",
    happens: ({ client }) => client.request("PUT", `/api/v1/users/${moderator.id}/image/`, { form: pictureForm() }),
    rows: [["authz_fail", "self", "moderator", { route: "PUT /api/v1/users/:id/image/", code: "permission_denied" }]],
  },
  {
    name: "another site's page",
    happens: ({ client }) =>
      client.post("/api/v1/tokens/clear/", undefined, { headers: { "sec-fetch-site": "cross-site" } }),
    rows: [["malicious_csrf", null, null, { route: "POST /api/v1/tokens/clear/" }]],
  },
];

interface Row {
  readonly event: AuditedEvent;
  readonly outcome: string;
  readonly actor_id: number | null;
  readonly subject_id: number | null;
  readonly details: object;
}
/** Those of a label, once there are so many: refusals come a moment later. */
const rowsOf = (of: string, count: number): Promise<Row[]> =>
  eventually(`${count} rows`, async () => {
    const rows = await service.query<Row>(
      `select event, outcome, actor_id::int, subject_id::int, details from audit_log where request_id = $1
       order by event, occurred_at, id`,
      [of],
    );
    return rows.length >= count ? rows : undefined;
  });

describe("each once, with who did it to whom and what became of it", () => {
  test.each(stories.map((story) => [story.name, story] as const))("%s", async (_, { before, happens, rows }) => {
    label = `before-${randomUUID()}`;
    const person = await signUp(service);
    await before?.(person);
    await resetRequestsFollowedUp(service);
    label = `story-${randomUUID()}`;
    await happens(person);
    const nameOf = (id: number | null) => (id === person.id ? "self" : id === moderator.id ? "moderator" : id);
    const found = (await rowsOf(label, rows.length)).map(({ event, outcome, actor_id, subject_id, details }) => {
      const subject = nameOf(subject_id);
      return [event, outcome, nameOf(actor_id), typeof subject === "number" ? "other" : subject, details];
    });
    const expected = rows
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([event, actor, subject, details]) => [event, auditedEvents[event], actor, subject, details]);
    expect(found).toEqual(expected);
  });
});

test("every event of the list is in one of the stories, or has a test of its own", () => {
  const told = new Set(stories.flatMap(({ rows }) => rows.map(([event]) => event)));
  // test/contract/lossy-client.test.ts, test/faults/parking.test.ts
  expect(auditedEventNames.filter((event) => !told.has(event))).toEqual(["authn_token_reuse", "outbox_change_skipped"]);
});

test("exchanging a refresh token is routine: no row", async () => {
  const { client, id } = await signUp(service);
  expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(200);
  const rows = await service.query("select event from audit_log where $1 in (actor_id, subject_id)", [id]);
  expect(rows).toEqual([{ event: "user_created" }]);
});

test("what did not happen leaves nothing but its refusal", async () => {
  const person = await signUp(service);
  const taken = (await signUp(service)).email;
  expect((await moderate("PATCH", `${person.id}/`, { body: { email: taken, role: "RM" } })).status).toBe(400);
  expect((await moderate("PATCH", "99999999/", { body: { role: "RM" } })).status).toBe(404);
  expect((await moderate("POST", "moderators/", { body: registration({ email: taken }) })).status).toBe(400);
  expect((await patch(person, { user_profile: { first_name: "" } })).status).toBe(400);
  const rows = await service.query("select event from audit_log where $1 in (actor_id, subject_id)", [person.id]);
  expect(rows).toEqual([{ event: "user_created" }]);
});
