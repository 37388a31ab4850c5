import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Answer, Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import type { TestStand } from "../support/service.ts";
import {
  bearer,
  mailedLink,
  resetRequestsFollowedUp,
  said,
  setCookiesOf,
  signUp,
  submitForm,
  tokenOf,
  type Person,
} from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
let roles: RolesClient;
beforeAll(async () => {
  stand = await startStand();
  roles = rolesClient(stand.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await stand.stop();
});

const change = "/api/v1/users/current/password/";
const request = "/api/v1/users/password-reset/";
const confirm = "/api/v1/users/password-reset/confirm/";
const current = "/api/v1/users/current/";
const refresh = "/api/v1/tokens/refresh/";
const json = { headers: { accept: "application/json" } };
const new_password = "seven bicycles in the rain";
const required = ["This field is required."];
const invalidLink = [400, { detail: "The link is not valid or has been used.", code: "invalid_link" }];

const someone = (changes: Record<string, unknown> = {}) => signUp(stand, "CU", { verified: true, ...changes });
async function signIn(email: string, typed = password): Promise<Client> {
  const client = stand.client();
  await client.post("/api/v1/tokens/", { email, password: typed });
  return client;
}
const passwordsOf = async ({ email }: Person, ...typed: string[]) => {
  const tries = typed.map(
    async (each) => (await stand.client().post("/api/v1/tokens/", { email, password: each })).status,
  );
  return await Promise.all(tries);
};
async function expectOver(client: Client): Promise<void> {
  const token = client.cookie("access_token") ?? "";
  expect(said(await stand.client().get(current, bearer(token)))).toEqual([
    401,
    { detail: "Session has ended", code: "session_ended" },
  ]);
  const over = { code: status.UNAUTHENTICATED, details: "Session has ended" };
  expect(await roles.getUserRole(token)).toEqual(over);
  expect((await client.post(refresh)).status).toBe(401);
}
const eventsOf = async ({ id }: Person) => {
  const rows = await stand.query<{ type: string }>("select type from outbox where user_id = $1 order by version", [id]);
  return rows.map(({ type }) => type);
};
const mailsOf = async ({ id }: Person, kind: string) =>
  await stand.query("select address from mails where user_id = $1 and kind = $2", [id, kind]);
const auditOf = async ({ id }: Person) =>
  await stand.query(
    "select event, actor_id::int, details from audit_log where subject_id = $1 and event = 'authn_password_change'",
    [id],
  );
/** A link to set a new password, newest of so many. */
async function resetLink({ email }: Person, count = 1): Promise<string> {
  expect((await stand.client().post(request, { email })).status).toBe(200);
  return await mailedLink(stand, "reset-password", email, count);
}
/** The links that an account may have at the same time, one of each purpose. */
async function everyLink(person: Person) {
  const to = uniqueEmail("new");
  const asked = await person.client.request("PATCH", current, { body: { email: to, current_password: password } });
  expect(asked.json()).toMatchObject({ pending_email: to });
  return {
    verify: await mailedLink(stand, "verify", person.email),
    reset: await resetLink(person),
    confirm: await mailedLink(stand, "confirm-email", to),
    undo: await mailedLink(stand, "undo-email", person.email),
  };
}
async function expectOnlyUndoWorks(links: Awaited<ReturnType<typeof everyLink>>): Promise<void> {
  expect((await stand.client().get(links.verify, json)).status).toBe(400);
  expect(said(await stand.client().post(confirm, { token: tokenOf(links.reset), new_password }))).toEqual(invalidLink);
  expect((await submitForm(stand, links.confirm, {})).status).toBe(400);
  // An owner's defence against a thief who knew the password, and may be the one who changed it.
  expect((await submitForm(stand, links.undo, { new_password: "a password of the owner's" })).status).toBe(200);
}
const cookieNames = (answer: Answer) => setCookiesOf(answer).map(({ name }) => name);
const maxAges = (answer: Answer) => setCookiesOf(answer).map(({ attributes }) => attributes["Max-Age"] ?? "session");

describe("POST /users/current/password/", () => {
  const post = ({ client }: Pick<Person, "client">, body: unknown) => client.post(change, body);
  const changed = (person: Pick<Person, "client">) => post(person, { current_password: password, new_password });

  test("the new one counts and the old one no longer does; fresh cookies, and every session before is over", async () => {
    const person = await someone();
    const other = await signIn(person.email);
    const before = await signIn(person.email);
    const { cookies } = person.client;
    const kept = stand.client();
    for (const [name, cookie] of cookies) kept.cookies.set(name, cookie);

    const answer = await changed(person);
    expect(said(answer)).toEqual([200, {}]);
    expect(maxAges(answer)).toEqual(["86400", "864000", "0", "31536000"]);
    for (const client of [other, before, kept]) await expectOver(client);
    expect((await person.client.get(current)).json()).toMatchObject({ id: person.id });
    expect(await roles.getUserRole(person.client.cookie("access_token") ?? "")).toEqual({
      user_id: String(person.id),
      role: "USER_ROLE_CUSTOMER",
    });
    expect((await person.client.post(refresh)).status).toBe(200);
    expect(await passwordsOf(person, password, new_password, ` ${new_password}`)).toEqual([401, 200, 401]);
  });

  test("the owner is told by mail; one event, and one line in the audit log", async () => {
    const person = await someone();
    await changed(person);
    const mail = await stand.mailTo(person.email, 2);
    expect(mail.subject).toContain("Your password was changed");
    expect(mail.text).not.toContain(new_password);
    expect(await eventsOf(person)).toEqual(["user.registered", "user.password_changed"]);
    expect(await auditOf(person)).toEqual([{ event: "authn_password_change", actor_id: person.id, details: {} }]);
  });

  test("cookies of a browser's session stay such, also after the next refresh", async () => {
    const person = await someone({ expires_session: true });
    const answer = await changed(person);
    expect(maxAges(answer)).toEqual(["session", "session", "0", "session"]);
    expect(maxAges(await person.client.post(refresh))).toEqual(["session", "session", "0"]);
  });

  test("with an unverified address: the same; by bearer token: the same", async () => {
    const person = await signUp(stand);
    const client = stand.client();
    const answer = await client.post(change, { current_password: password, new_password }, bearer(person.token));
    expect([answer.status, (await client.get(current)).json()["is_email_verified"]]).toEqual([200, false]);
    await expectOver(person.client);
  });

  test("every mailed link ends but the one that takes a change of the address back; no address waits any more", async () => {
    const person = await signUp(stand);
    const links = await everyLink(person);
    expect((await changed(person)).status).toBe(200);
    expect((await person.client.get(current)).json()).toMatchObject({ email: person.email, pending_email: null });
    await expectOnlyUndoWorks(links);
    expect(await passwordsOf(person, new_password, "a password of the owner's")).toEqual([401, 200]);
  });

  test("a wrong current password: 400 at that field, and nothing happens", async () => {
    const person = await someone();
    for (const current_password of ["something else", "", ` ${password}`, password.toUpperCase()]) {
      expect(said(await post(person, { current_password, new_password }))).toEqual([
        400,
        { current_password: ["The password is not right."] },
      ]);
    }
    expect((await person.client.get(current)).status).toBe(200);
    expect((await person.client.post(refresh)).status).toBe(200);
    expect(await passwordsOf(person, password, new_password)).toEqual([200, 401]);
    expect([await eventsOf(person), await auditOf(person)]).toEqual([["user.registered"], []]);
    expect(await mailsOf(person, "password-changed")).toEqual([]);
  });

  test.each([
    ["nothing", {}, { current_password: required, new_password: required }],
    ["no new one", { current_password: password }, { new_password: required }],
    ["no current one", { new_password }, { current_password: required }],
    ["null", { current_password: null, new_password: null }, { current_password: 1, new_password: 1 }],
    [
      "objects",
      { current_password: { $ne: "" }, new_password: [new_password] },
      { current_password: 1, new_password: 1 },
    ],
    ["7 characters", { current_password: password, new_password: "k7#mQ2x" }, { new_password: 1 }],
    ["129 characters", { current_password: password, new_password: "k7 ".repeat(43) }, { new_password: 1 }],
    [
      "513 characters",
      { current_password: "x".repeat(513), new_password: "x".repeat(513) },
      { current_password: 1, new_password: 1 },
    ],
    ["a common one", { current_password: password, new_password: "iloveyou" }, { new_password: 1 }],
    ["the company's name", { current_password: password, new_password: "EatExpress1" }, { new_password: 1 }],
    ["half a surrogate pair", { current_password: password, new_password: "k7#mQ2xz\ud83d" }, { new_password: 1 }],
  ])("%s: 400 naming each field, without repeating what was sent", async (_, body, fields) => {
    const person = await someone();
    const answer = await post(person, body);
    const messages: Record<string, unknown> = {};
    for (const [field, told] of Object.entries(fields)) messages[field] = told === 1 ? [expect.any(String)] : told;
    expect(said(answer)).toEqual([400, messages]);
    for (const sent of Object.values(body)) if (typeof sent === "string") expect(answer.text).not.toContain(sent);
    expect(await passwordsOf(person, password)).toEqual([200]);
  });

  test("made of the account's own address or name: refused", async () => {
    const person = await someone();
    for (const weak of [person.email, person.email.split("@")[0] ?? "", "kowalska1"]) {
      const answer = await post(person, { current_password: password, new_password: weak });
      expect([answer.status, Object.keys(answer.json())]).toEqual([400, ["new_password"]]);
    }
  });

  test("nobody: 401; a query or a form: refused", async () => {
    const person = await someone();
    expect((await stand.client().post(change, { current_password: password, new_password })).status).toBe(401);
    const query = new URLSearchParams({ current_password: password, new_password }).toString();
    expect((await person.client.post(`${change}?${query}`, {})).status).toBe(400);
    const form = { raw: query, headers: { "content-type": "application/x-www-form-urlencoded" } };
    expect((await person.client.request("POST", change, form)).status).toBe(415);
    expect(await passwordsOf(person, password)).toEqual([200]);
  });
});

describe("POST /users/password-reset/", () => {
  test("the address in another spelling: the mail goes to the stored one", async () => {
    const [name = ""] = uniqueEmail("Anna").split("@");
    const person = await someone({ email: `${name}@BÜCHER.example` });
    const stored = `${name}@xn--bcher-kva.example`;
    expect((await person.client.get(current)).json()["email"]).toBe(stored);
    const typed = [stored, ` ${name.toUpperCase()}@bücher.EXAMPLE. `, `${name.toLowerCase()}@bu\u0308cher.example`];
    const received = async () => {
      const mails = (await stand.mails()).filter(({ text }) => text.includes("/reset-password/"));
      return mails.flatMap((mail) => mail.to).filter((each) => each.toLowerCase().startsWith(name.toLowerCase()));
    };
    for (const [before, email] of typed.entries()) {
      expect((await stand.client().post(request, { email })).status).toBe(200);
      // One after the other: a newer link takes the place of one that waits to be sent.
      await eventually("the mail is there", async () => ((await received()).length > before ? true : undefined));
    }
    expect(await mailsOf(person, "reset-password")).toEqual([
      { address: stored },
      { address: stored },
      { address: stored },
    ]);
    expect(new Set((await received()).map((to) => to.split("@")[0]))).toEqual(new Set([name]));
  });

  test("nothing changes: password, sessions and the verified mark stay as they are", async () => {
    const person = await signUp(stand);
    const before = (await person.client.get(current)).text;
    await resetLink(person);
    expect((await person.client.get(current)).text).toBe(before);
    expect(await passwordsOf(person, password)).toEqual([200]);
    expect(await eventsOf(person)).toEqual(["user.registered"]);
  });

  test("who asked stands in the audit log, of those that led to a mail", async () => {
    const person = await someone();
    const headers = { "user-agent": "a browser", "x-request-id": `asked-${person.id}` };
    await stand.client().post(request, { email: person.email }, { headers });
    await resetRequestsFollowedUp(stand);
    const columns = "event, actor_id, ip, user_agent, request_id, details";
    expect(
      await stand.query(`select ${columns} from audit_log where subject_id = $1 and event like '%token%'`, [person.id]),
    ).toEqual([
      {
        event: "authn_token_created",
        actor_id: null,
        ip: "127.0.0.1",
        user_agent: "a browser",
        request_id: `asked-${person.id}`,
        details: { purpose: "reset-password" },
      },
    ]);
  });

  test.each([
    ["nothing", {}],
    ["null", { email: null }],
    ["two", { email: ["a@example.com", "b@example.com"] }],
    ["an operator", { email: { $ne: "" } }],
    ["no address", { email: "no address" }],
    ["a list", { email: "a@example.com,evil@example.org" }],
    ["a second header", { email: "a@example.com\r\nBcc: evil@example.org" }],
    ["a NUL", { email: "a@example.com\u0000" }],
    ["a Kelvin sign", { email: "\u212Aate@example.com" }],
    ["1,001 characters", { email: `${"a".repeat(990)}@example.com` }],
  ])("%s: 400 naming email, and nothing is written down", async (_, body) => {
    const answer = await stand.client().post(request, body);
    expect(said(answer)).toEqual([400, { email: [expect.any(String)] }]);
    expect(await stand.query("select 1 from password_reset_requests")).toEqual([]);
  });

  test.each([
    ["Host", request, { host: "evil.example" }],
    ["Host with a port and a user", request, { host: "me@evil.example:8000" }],
    ["an absolute URL", `http://evil.example${request}`, {}],
    ["X-Forwarded-Host", request, { "x-forwarded-host": "evil.example", forwarded: "host=evil.example" }],
  ])("the link never comes from %s", async (_, path, headers) => {
    const person = await someone();
    // By hand: `fetch` sends no Host of one's own.
    const { hostname, port } = new URL(stand.url);
    const asked = httpRequest({
      hostname,
      port,
      method: "POST",
      path,
      headers: { "content-type": "application/json", ...headers },
    });
    const answered = once(asked, "response") as Promise<[IncomingMessage]>;
    asked.end(JSON.stringify({ email: person.email }));
    expect((await answered)[0].resume().statusCode).toBe(200);
    await mailedLink(stand, "reset-password", person.email);
    const { text, html } = (await stand.mails()).find(
      (mail) => mail.to.includes(person.email) && mail.text.includes("/reset-password/"),
    )!;
    expect(text).toContain(`${stand.url}/api/v1/users/`);
    expect(text + html).not.toContain("evil.example");
  });
});

describe("POST /users/password-reset/confirm/", () => {
  const post = (token: string, chosen = new_password) => stand.client().post(confirm, { token, new_password: chosen });

  test("the new one counts, every session is over, nobody is signed in; the token works once", async () => {
    const person = await someone();
    const other = await signIn(person.email);
    const token = tokenOf(await resetLink(person));
    const answer = await post(token);
    expect(said(answer)).toEqual([200, { detail: "The password has been changed" }]);
    expect(cookieNames(answer)).toEqual(["device_id"]);
    for (const client of [person.client, other]) await expectOver(client);
    expect(await passwordsOf(person, password, new_password)).toEqual([401, 200]);
    expect(said(await post(token, "another new password"))).toEqual(invalidLink);
    expect(await passwordsOf(person, new_password, "another new password")).toEqual([200, 401]);
  });

  test("with the session of the account, or of another one: the same, and no session of the other one ends", async () => {
    const [person, other] = [await someone(), await someone()];
    for (const by of [person, other]) {
      const token = tokenOf(await resetLink(person, by === person ? 1 : 2));
      const answer = await by.client.post(confirm, { token, new_password });
      expect([answer.status, cookieNames(answer)]).toEqual([200, ["device_id"]]);
    }
    expect((await other.client.get(current)).status).toBe(200);
  });

  test("it shows that the address is read: an unverified one is verified, and told so once", async () => {
    const [fresh, verified] = [await signUp(stand), await someone()];
    for (const person of [fresh, verified]) expect((await post(tokenOf(await resetLink(person)))).status).toBe(200);
    const client = await signIn(fresh.email, new_password);
    expect((await client.get(current)).json()).toMatchObject({ is_email_verified: true });
    expect(await eventsOf(fresh)).toEqual(["user.registered", "user.email_verified", "user.password_changed"]);
    expect(await eventsOf(verified)).toEqual(["user.registered", "user.password_changed"]);
  });

  test("the owner is told by mail, and the audit log says how", async () => {
    const person = await someone();
    await post(tokenOf(await resetLink(person)));
    const mail = await eventually("the notice", async () =>
      (await stand.mails()).find(({ to, subject }) => to.includes(person.email) && subject.includes("was changed")),
    );
    expect(mail.text).not.toContain(new_password);
    expect(await auditOf(person)).toEqual([
      { event: "authn_password_change", actor_id: null, details: { by: "reset link" } },
    ]);
  });

  test("every other mailed link ends but the one that takes a change of the address back", async () => {
    const person = await signUp(stand);
    const links = await everyLink(person);
    const newer = await resetLink(person, 2);
    expect((await post(tokenOf(newer))).status).toBe(200);
    const client = await signIn(person.email, new_password);
    expect((await client.get(current)).json()).toMatchObject({ email: person.email, pending_email: null });
    await expectOnlyUndoWorks(links);
  });

  test("a newer link ends the older one", async () => {
    const person = await someone();
    const older = tokenOf(await resetLink(person));
    const newer = tokenOf(await resetLink(person, 2));
    expect(said(await post(older))).toEqual(invalidLink);
    expect((await post(newer)).status).toBe(200);
  });

  test("a password that is too weak: 400 at that field, and the link still works", async () => {
    const person = await someone();
    const token = tokenOf(await resetLink(person));
    for (const weak of ["", "short", "iloveyou", person.email, "Kowalska1", "x".repeat(129)]) {
      expect(said(await post(token, weak))).toEqual([400, { new_password: [expect.any(String)] }]);
    }
    expect((await person.client.get(current)).status).toBe(200);
    expect((await post(token)).status).toBe(200);
  });

  test.each([
    ["nothing", {}, ["new_password", "token"]],
    ["null", { token: null, new_password: null }, ["new_password", "token"]],
    ["arrays", { token: ["x"], new_password: ["x"] }, ["new_password", "token"]],
    ["301 characters", { token: "A".repeat(301), new_password }, ["token"]],
    ["a password of 513 characters", { token: "A".repeat(64), new_password: "x".repeat(513) }, ["new_password"]],
  ])("%s: 400 naming each field", async (_, body, fields) => {
    const answer = await stand.client().post(confirm, body);
    expect([answer.status, Object.keys(answer.json()).toSorted()]).toEqual([400, fields]);
  });

  test("one bit changed, cut, padded, nonsense, or expired: the same refusal, and nothing changes", async () => {
    const person = await someone();
    const token = tokenOf(await resetLink(person));
    const flipped = `${token.startsWith("A") ? "B" : "A"}${token.slice(1)}`;
    for (const wrong of [flipped, token.slice(1), `${token}=`, ` ${token}`, "", "x", "A".repeat(64), "\u0000"]) {
      expect(said(await post(wrong))).toEqual(invalidLink);
    }
    await stand.query("update one_time_tokens set expires_at = now(), sent_at = now() where user_id = $1", [person.id]);
    expect(said(await post(token))).toEqual(invalidLink);
    expect(await passwordsOf(person, password, new_password)).toEqual([200, 401]);
  });

  test("it works for an hour from when it is sent", async () => {
    const person = await someone();
    await resetLink(person);
    const token = await eventually("the mailer has noted that it was sent", async () => {
      const [row] = await stand.query<{ seconds: number }>(
        `select extract(epoch from expires_at - sent_at)::int as seconds from one_time_tokens
         where user_id = $1 and purpose = 'reset-password' and sent_at is not null`,
        [person.id],
      );
      return row;
    });
    expect(token.seconds).toBe(3600);
  });

  test("the token of another purpose, or this one for another purpose: refused", async () => {
    const person = await signUp(stand);
    const links = await everyLink(person);
    for (const link of [links.verify, links.confirm, links.undo]) {
      expect(said(await post(tokenOf(link)))).toEqual(invalidLink);
    }
    expect((await stand.client().get(links.reset.replace("/reset-password/", "/verify/"), json)).status).toBe(400);
    for (const purpose of ["confirm-email", "undo-email"]) {
      const path = links.reset.replace("/reset-password/", `/${purpose}/`);
      expect((await submitForm(stand, path, { new_password })).status).toBe(400);
    }
    expect(await passwordsOf(person, password, new_password)).toEqual([200, 401]);
    expect((await post(tokenOf(links.reset))).status).toBe(200);
  });

  test("an account that was deactivated after the mail: refused, and its password stays", async () => {
    const person = await someone();
    const token = tokenOf(await resetLink(person));
    await stand.query("update users set is_active = false where id = $1", [person.id]);
    expect(said(await post(token))).toEqual(invalidLink);
    await stand.query("update users set is_active = true where id = $1", [person.id]);
    expect(await passwordsOf(person, password, new_password)).toEqual([200, 401]);
  });

  test("after the address changed: the link to the old one is dead, and stays so when the old one comes back", async () => {
    const [person, moderator, to] = [await someone(), await signUp(stand, "MO"), uniqueEmail("new")];
    const token = tokenOf(await resetLink(person));
    await person.client.request("PATCH", current, { body: { email: to, current_password: password } });
    expect((await submitForm(stand, await mailedLink(stand, "confirm-email", to), { password })).status).toBe(200);
    expect(said(await post(token))).toEqual(invalidLink);
    const back = { email: person.email, current_password: password };
    await person.client.request("PATCH", current, { body: back });
    expect((await submitForm(stand, await mailedLink(stand, "confirm-email", person.email), { password })).status).toBe(
      200,
    );
    expect(said(await post(token))).toEqual(invalidLink);

    const later = tokenOf(await resetLink(person, 2));
    for (const email of [uniqueEmail("moved"), person.email]) {
      const moved = await moderator.client.request("PATCH", `/api/v1/users/${person.id}/`, { body: { email } });
      expect(moved.status).toBe(200);
      expect(said(await post(later))).toEqual(invalidLink);
    }
  });
});

describe("the page of a reset link", () => {
  const html = "text/html; charset=utf-8";

  test.each([
    ["GET", "text/html"],
    ["GET", "application/json"],
    ["HEAD", "*/*"],
    ["OPTIONS", "*/*"],
  ])("%s with Accept: %s uses nothing up", async (method, accept) => {
    const person = await someone();
    const link = await resetLink(person);
    const answer = await stand.client().request(method, link, { headers: { accept, "sec-purpose": "prefetch" } });
    if (method === "GET") {
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, html]);
      expect(answer.text).toContain('name="new_password"');
      expect(answer.text).not.toMatch(/\b(?:src|href|action)=|<script|https?:/i);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    }
    expect(await passwordsOf(person, password)).toEqual([200]);
    expect((await submitForm(stand, link, { new_password })).status).toBe(200);
  });

  test("its form: the same as by JSON, told on a page", async () => {
    const person = await signUp(stand);
    const link = await resetLink(person);
    const answer = await submitForm(stand, link, { new_password });
    expect([answer.status, answer.headers.get("content-type"), cookieNames(answer)]).toEqual([
      200,
      html,
      ["device_id"],
    ]);
    await expectOver(person.client);
    expect(await passwordsOf(person, password, new_password)).toEqual([401, 200]);
    const again = await submitForm(stand, link, { new_password: "another new password" });
    expect([again.status, again.headers.get("content-type")]).toEqual([400, html]);
    expect(await passwordsOf(person, new_password)).toEqual([200]);
  });

  test("too weak, or left out: told on the page without repeating it, and the link still works", async () => {
    const person = await someone();
    const link = await resetLink(person);
    for (const form of [{ new_password: "kowalska1" }, { new_password: "" }, {}] as Record<string, string>[]) {
      const answer = await submitForm(stand, link, form);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([400, html]);
      expect(answer.text).toContain('role="alert"');
      expect(answer.text).not.toContain("kowalska1");
    }
    expect((await submitForm(stand, link, { new_password })).status).toBe(200);
  });

  test("a link that is no good, JSON, or another body: refused", async () => {
    const person = await someone();
    const link = await resetLink(person);
    const forged = link.replace(tokenOf(link), "A".repeat(64));
    expect((await submitForm(stand, forged, { new_password })).status).toBe(400);
    const raw = { raw: `new_password=${new_password}`, headers: { "content-type": "text/plain" } };
    expect((await stand.client().request("POST", link, raw)).status).toBe(415);
    expect((await stand.client().post(link, { new_password })).status).toBe(400);
    expect(await passwordsOf(person, password)).toEqual([200]);
  });
});
