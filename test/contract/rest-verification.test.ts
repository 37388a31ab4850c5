import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import { linkIn, type TestStand } from "../support/service.ts";
import { said, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const json = { headers: { accept: "application/json" } };
const send = "/api/v1/users/current/send-activation/";
const verified = { detail: "Email has been successfully verified" };
const invalidLink = { detail: expect.any(String), code: "invalid_link" };

/** Somebody who has registered, and the path in his mail. */
async function registered(): Promise<Person & { link: string }> {
  const person = await signUp(stand);
  return { ...person, link: linkIn(await stand.mailTo(person.email)) };
}
const isVerified = async ({ id }: Person) =>
  (await stand.query<{ yes: boolean }>("select is_email_verified as yes from users where id = $1", [id]))[0]?.yes;
const submit = (client: Client, link: string, form: Record<string, string> = {}) =>
  client.request("POST", link, {
    raw: new URLSearchParams(form).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
const signIn = async (email: string, typed: string) =>
  (await stand.client().post("/api/v1/tokens/", { email, password: typed })).status;
const reference = (id: number | string) => Buffer.from(String(id)).toString("base64url");

describe("GET /users/current/send-activation/", () => {
  test("unverified: a new mail whose link works, and the older one no longer does", async () => {
    const { client, email, link } = await registered();
    expect(said(await client.get(send))).toEqual([200, { detail: "Verification email sent successfully" }]);
    const newer = linkIn(await stand.mailTo(email, 2));
    expect(said(await client.get(link, json))).toEqual([400, invalidLink]);
    expect(said(await client.get(newer, json))).toEqual([200, verified]);
  });

  test("verified: 400 and no mail", async () => {
    const { client, id } = await signUp(stand, "CU", { verified: true });
    expect(said(await client.get(send))).toEqual([
      400,
      { detail: "Email has already been verified", code: "email_already_verified" },
    ]);
    expect(await stand.query("select 1 from mails where user_id = $1", [id])).toHaveLength(1);
  });
});

describe("GET of the link with exactly Accept: application/json", () => {
  test("verifies, without any session; again: 400", async () => {
    const person = await registered();
    expect(said(await stand.client().get(person.link, json))).toEqual([200, verified]);
    expect(await isVerified(person)).toBe(true);
    expect(said(await stand.client().get(person.link, json))).toEqual([400, invalidLink]);
  });

  test("without the slash at the end: the same", async () => {
    const { link } = await registered();
    expect(said(await stand.client().get(link.slice(0, -1), json))).toEqual([200, verified]);
  });

  test.each([
    ["an account that does not exist", reference(99_999_999)],
    ["no reference at all", "!!!"],
    ["an id with letters", reference("1x")],
    ["an id beyond all integers", reference("9".repeat(16))],
    ["an id of 30 digits", reference("9".repeat(30))],
    ["a reference of 90 characters", reference("9".repeat(68))],
  ])("%s: 404", async (_, uidb64) => {
    const { link } = await registered();
    const path = link.replace(/users\/[^/]+/, `users/${uidb64}`);
    expect(said(await stand.client().get(path, json))).toEqual([404, { detail: "Not found.", code: "not_found" }]);
  });

  test("another account's link, a token with one bit changed, an expired one, nonsense: 400", async () => {
    const [one, other] = [await registered(), await registered()];
    const token = one.link.split("/").at(-2) ?? "";
    const flipped = `${token.startsWith("A") ? "B" : "A"}${token.slice(1)}`;
    const paths = [
      one.link.replace(/users\/[^/]+/, `users/${reference(other.id)}`),
      one.link.replace(token, flipped),
      one.link.replace(token, "x"),
      one.link.replace(token, "%00"),
      one.link.replace(token, "A".repeat(250)),
    ];
    for (const path of paths) expect(said(await stand.client().get(path, json))).toEqual([400, invalidLink]);
    await stand.query("update one_time_tokens set expires_at = now(), sent_at = now() where user_id = $1", [one.id]);
    expect(said(await stand.client().get(one.link, json))).toEqual([400, invalidLink]);
    expect([await isVerified(one), await isVerified(other)]).toEqual([false, false]);
  });

  test("after the address changed: the link to the old one is dead, and marks nothing", async () => {
    const [person, moderator] = [await registered(), await signUp(stand, "MO")];
    const body = { email: `x.${person.email}` };
    const changed = await moderator.client.request("PATCH", `/api/v1/users/${person.id}/`, { body });
    expect(changed.status).toBe(200);
    expect(said(await person.client.get(person.link, json))).toEqual([400, invalidLink]);
    expect((await submit(stand.client(), person.link, { password })).status).toBe(400);
    expect(await isVerified(person)).toBe(false);
  });
});

describe("every other GET: a page, and nothing is used up", () => {
  test.each([
    ["GET", "text/html"],
    ["GET", "*/*"],
    ["GET", "application/json, text/plain, */*"],
    ["GET", "application/json;q=0.9"],
    ["GET", "application/*"],
    ["HEAD", "application/json"],
    ["HEAD", "*/*"],
    ["OPTIONS", "application/json"],
  ])("%s with Accept: %s", async (method, accept) => {
    const person = await registered();
    for (const client of [stand.client(), person.client]) {
      const prefetch = { accept, purpose: "prefetch", "sec-purpose": "prefetch", "x-http-method-override": "POST" };
      const answer = await client.request(method, person.link, { headers: prefetch });
      if (method === "GET") {
        expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      }
    }
    expect(await isVerified(person)).toBe(false);
    expect(said(await stand.client().get(person.link, json))).toEqual([200, verified]);
  });

  test("the page has a form that posts to its own address, and loads nothing", async () => {
    const { link, client } = await registered();
    for (const who of [stand.client(), client]) {
      const { text, headers } = await who.get(link);
      expect(text).toMatch(/<form method="post">/);
      expect(text).not.toMatch(/\b(?:src|href|action|formaction)=|<script|https?:/i);
      expect(headers.get("content-security-policy")).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("cache-control")).toBe("no-store");
    }
  });

  test("a page for a link that is no good tells nothing about accounts", async () => {
    const { link } = await registered();
    const page = await stand.client().get(link);
    const other = await stand.client().get(`/api/v1/users/${reference(99_999_999)}/verify/x/`);
    expect([other.status, other.text]).toEqual([page.status, page.text]);
  });
});

describe("POST of the page's form", () => {
  test("with the account's session the button is enough", async () => {
    const person = await registered();
    const answer = await submit(person.client, person.link);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(await isVerified(person)).toBe(true);
    expect((await submit(person.client, person.link)).status).toBe(400);
    expect((await person.client.get("/api/v1/users/current/")).status).toBe(200);
  });

  test("without a session: the account's password, and a wrong one neither verifies nor uses the link up", async () => {
    const person = await registered();
    for (const form of [{}, { password: "something else" }, { password: "" }] as Record<string, string>[]) {
      const answer = await submit(stand.client(), person.link, form);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "text/html; charset=utf-8"]);
      expect(answer.text).toContain('name="password"');
      expect(answer.text).not.toContain("something else");
    }
    expect(await isVerified(person)).toBe(false);
    expect((await submit(stand.client(), person.link, { password })).status).toBe(200);
    expect(await isVerified(person)).toBe(true);
  });

  test("another account's session counts for nothing", async () => {
    const [person, other] = [await registered(), await signUp(stand)];
    expect((await submit(other.client, person.link)).status).toBe(400);
    expect(await isVerified(person)).toBe(false);
    expect((await submit(other.client, person.link, { password })).status).toBe(200);
  });

  test('"I did not register": the new password counts, the old one and every session are dead', async () => {
    const person = await registered();
    const second = stand.client();
    await second.post("/api/v1/tokens/", { email: person.email, password });
    const form = { new_password: "a password of my own" };
    expect((await submit(stand.client(), person.link, form)).status).toBe(200);
    expect(await isVerified(person)).toBe(true);
    expect([await signIn(person.email, password), await signIn(person.email, form.new_password)]).toEqual([401, 200]);
    for (const client of [person.client, second]) {
      expect((await client.get("/api/v1/users/current/")).status).toBe(401);
      expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(401);
    }
    expect((await submit(stand.client(), person.link, form)).status).toBe(400);
  });

  test('"I did not register" in a browser that has the account\'s session: the same', async () => {
    const person = await registered();
    const form = { new_password: "a password of my own" };
    expect((await submit(person.client, person.link, form)).status).toBe(200);
    expect([await signIn(person.email, password), await signIn(person.email, form.new_password)]).toEqual([401, 200]);
    expect((await person.client.get("/api/v1/users/current/")).status).toBe(401);
  });

  test("a new password that is too weak: told on the page, nothing is used up", async () => {
    const person = await registered();
    const answer = await submit(stand.client(), person.link, { new_password: "short" });
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("too short")]);
    expect(await isVerified(person)).toBe(false);
    expect((await submit(stand.client(), person.link, { password })).status).toBe(200);
  });

  test("from a foreign page: the token in the path is what counts; JSON or another body is no form", async () => {
    const person = await registered();
    const cross = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
    const answer = await person.client.request("POST", person.link, { headers: cross });
    expect(answer.status).toBe(200);
    for (const type of ["text/plain", "multipart/form-data; boundary=x"]) {
      const refused = await stand
        .client()
        .request("POST", person.link, { raw: "x", headers: { "content-type": type } });
      expect(said(refused)).toEqual([415, { detail: expect.any(String), code: "unsupported_media_type" }]);
    }
  });

  test("an unknown account: 404 as a page", async () => {
    const answer = await submit(stand.client(), `/api/v1/users/${reference(99_999_999)}/verify/x/`, { password });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
  });
});
