import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eventually } from "../support/eventually.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { fullViewOf, said, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const current = "/api/v1/users/current/";
const json = { headers: { accept: "application/json" } };
const put = ({ client }: Person, body: unknown) => client.request("PUT", current, { body });
const patch = ({ client }: Person, body: unknown) => client.request("PATCH", current, { body });
const profile = registration().user_profile;
const required = ["This field is required."];

describe("GET /users/current/", () => {
  test("nobody: 401 with what to do about it", async () => {
    const answer = await stand.client().get(current);
    expect(said(answer)).toEqual([
      401,
      { detail: "Authentication credentials were not provided.", code: "not_authenticated" },
    ]);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
  });

  test("signed in, with and without a slash at the end: the full view", async () => {
    const body = registration();
    const client = stand.client();
    await client.post("/api/v1/users/managers/", body);
    for (const path of [current, current.slice(0, -1)]) {
      expect(said(await client.get(path))).toEqual([200, fullViewOf(stand, "RM", body)]);
    }
  });
});

describe("PUT and PATCH /users/current/", () => {
  test("PATCH with any one part: that part changes, and the answer is the full view", async () => {
    const body = registration();
    const client = stand.client();
    await client.post("/api/v1/users/customers/", body);
    const parts = [
      { first_name: "  Zofia " },
      { last_name: "Nowak" },
      { phone: "+375 29 123-45-67" },
      { birth_date: "1980-02-29" },
    ];
    for (const user_profile of parts) {
      expect((await client.request("PATCH", current, { body: { user_profile } })).status).toBe(200);
    }
    const user_profile = { first_name: "Zofia", last_name: "Nowak", phone: "+375291234567", birth_date: "1980-02-29" };
    expect(said(await client.request("PATCH", current, { body: {} }))).toEqual([
      200,
      fullViewOf(stand, "CU", { ...body, user_profile }),
    ]);
  });

  test("PUT with the full view sent back, as the old front end does: 200, and nothing changes", async () => {
    const person = await signUp(stand);
    const view = (await person.client.get(current)).json();
    expect(said(await put(person, view))).toEqual([200, view]);
    expect(said(await put(person, { ...view, email: person.email.toUpperCase() }))).toEqual([200, view]);
    const events = await stand.query("select 1 from outbox where user_id = $1", [person.id]);
    expect(events).toHaveLength(1);
  });

  test("PUT without a part: every missing field is named; PATCH with the same is fine", async () => {
    const person = await signUp(stand);
    expect(said(await put(person, {}))).toEqual([400, { email: required, user_profile: required }]);
    const body = { email: person.email, user_profile: { first_name: "Ewa" } };
    expect(said(await put(person, body))).toEqual([
      400,
      { user_profile: { last_name: required, phone: required, birth_date: required } },
    ]);
    expect((await patch(person, body)).status).toBe(200);
  });

  test("what only moderators or nobody may set: ignored", async () => {
    const person = await signUp(stand);
    const before = (await person.client.get(current)).json();
    const wanted = {
      id: 1,
      role: "MO",
      is_active: false,
      is_email_verified: true,
      pending_email: "evil@example.org",
      last_login: "2001-01-01T00:00:00Z",
      user_profile: { full_name: "X Y", image_url: "https://evil.example/x.png", age: 3 },
    };
    const answer = await person.client.request("PATCH", `${current}?role=MO&is_email_verified=true`, { body: wanted });
    expect(said(answer)).toEqual([200, before]);
  });

  test.each([
    ["an empty name", { first_name: "" }],
    ["a name of spaces", { last_name: "   " }],
    ["a control character", { first_name: "A\u0007" }],
    ["half a surrogate pair", { first_name: "A\ud800" }],
    ["null", { first_name: null }],
    ["an array", { phone: ["+48512345678"] }],
    ["a phone without a country", { phone: "512345678" }],
    ["a phone that cannot exist", { phone: "+480" }],
    ["31 February", { birth_date: "1990-02-31" }],
    ["29 February of a common year", { birth_date: "1991-02-29" }],
    ["tomorrow", { birth_date: new Date(Date.now() + 86_400_000).toISOString().slice(0, 10) }],
    ["131 years ago", { birth_date: `${new Date().getUTCFullYear() - 132}-01-01` }],
    ["another order", { birth_date: "17-05-1990" }],
    ["a time as well", { birth_date: "1990-05-17T00:00:00Z" }],
    ["too young", { birth_date: `${new Date().getUTCFullYear() - 10}-01-01` }],
  ])("%s: 400 at that field, and nothing is stored", async (_, user_profile) => {
    const person = await signUp(stand);
    const before = await person.client.get(current);
    const answer = await patch(person, { user_profile });
    const [field = ""] = Object.keys(user_profile);
    expect(said(answer)).toEqual([400, { user_profile: { [field]: [expect.any(String)] } }]);
    expect((await person.client.get(current)).text).toBe(before.text);
  });

  test("a rule about age asks when the birth date changes, not when it is sent back as it was", async () => {
    const person = await signUp(stand);
    const birth_date = `${new Date().getUTCFullYear() - 10}-01-01`;
    await stand.query("update user_profiles set birth_date = $2 where user_id = $1", [person.id, birth_date]);
    const user_profile = { ...profile, first_name: "Ewa", birth_date };
    expect(said(await put(person, { email: person.email, user_profile }))).toEqual([
      200,
      expect.objectContaining({ user_profile: expect.objectContaining({ first_name: "Ewa", birth_date }) }),
    ]);
  });
});

describe("a new e-mail address", () => {
  const path = (name: string, text: string) =>
    new URL(new RegExp(`https?://\\S+/${name}/\\S+`).exec(text)?.[0] ?? "").pathname;
  const emailsOf = async (person: Person) => {
    const { email, pending_email, is_email_verified } = (await person.client.get(current)).json();
    return { email, pending_email, is_email_verified };
  };
  async function requested(): Promise<{ person: Person; to: string; confirm: string; undo: string }> {
    const [person, to] = [await signUp(stand), uniqueEmail("new")];
    const answer = await patch(person, { email: to, current_password: password });
    expect(said(answer)).toEqual([200, expect.objectContaining({ email: person.email, pending_email: to })]);
    const confirm = path("confirm-email", (await stand.mailTo(to)).text);
    // After the mail of the registration.
    const undo = path("undo-email", (await stand.mailTo(person.email, 2)).text);
    return { person, to, confirm, undo };
  }
  const signIn = async (email: string, chosen = password) =>
    (await stand.client().post("/api/v1/tokens/", { email, password: chosen })).status;
  const post = (link: string, form?: Record<string, string>) =>
    stand.client().request("POST", link, {
      ...(form && {
        headers: { "content-type": "application/x-www-form-urlencoded" },
        raw: new URLSearchParams(form).toString(),
      }),
    });
  const newPassword = "a password of the owner's";
  const takeBack = (link: string) => post(link, { new_password: newPassword });
  const confirmed = (link: string) => post(link, { password });

  test("without the password, or with a wrong one: 400 at current_password, and no mail", async () => {
    const [person, to] = [await signUp(stand), uniqueEmail("new")];
    expect(said(await patch(person, { email: to }))).toEqual([400, { current_password: required }]);
    const answer = await patch(person, { email: to, current_password: "something else" });
    expect(said(answer)).toEqual([400, { current_password: [expect.any(String)] }]);
    expect(await emailsOf(person)).toMatchObject({ email: person.email, pending_email: null });
    expect(await stand.query("select 1 from mails where address = $1", [to])).toEqual([]);
  });

  test("nothing counts before the link is followed; GET shows a page and changes nothing", async () => {
    const { person, to, confirm } = await requested();
    for (const method of ["GET", "HEAD"]) {
      for (const options of [{}, json]) await stand.client().request(method, confirm, options);
    }
    expect((await stand.client().get(confirm, json)).headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(await emailsOf(person)).toMatchObject({ email: person.email, pending_email: to });
    expect([await signIn(to), await signIn(person.email)]).toEqual([401, 200]);
  });

  test("confirmed: the new address counts and is verified; the link works once", async () => {
    const { person, to, confirm } = await requested();
    expect((await confirmed(confirm)).status).toBe(200);
    expect(await emailsOf(person)).toEqual({ email: to, pending_email: null, is_email_verified: true });
    expect([await signIn(to), await signIn(person.email)]).toEqual([200, 401]);
    expect((await confirmed(confirm)).status).toBe(400);
  });

  test("confirmed by whoever reads the mail: with the account's session a button is enough, else its password", async () => {
    const { person, to, confirm } = await requested();
    const other = await signUp(stand);
    const fields = (answer: { text: string }) =>
      [...answer.text.matchAll(/<input [^>]*name="(\w+)"/g)].map(([, name]) => name);
    expect(fields(await stand.client().get(confirm))).toEqual(["password"]);
    expect(fields(await person.client.get(confirm))).toEqual([]);
    for (const refused of [
      await post(confirm),
      await post(confirm, { password: "" }),
      await post(confirm, { password: "something else" }),
      await post(confirm, { new_password: newPassword }),
      await other.client.request("POST", confirm),
    ]) {
      expect([refused.status, fields(refused)]).toEqual([400, ["password"]]);
    }
    expect(await emailsOf(person)).toMatchObject({ email: person.email, pending_email: to });
    expect((await person.client.request("POST", confirm)).status).toBe(200);
    expect(await emailsOf(person)).toMatchObject({ email: to, pending_email: null });
  });

  test("of a deactivated account: not confirmed, and the old address is nobody else's", async () => {
    const { person, confirm } = await requested();
    await stand.query("update users set is_active = false where id = $1", [person.id]);
    expect((await confirmed(confirm)).status).toBe(400);
    expect(await stand.query("select email from users where id = $1", [person.id])).toEqual([{ email: person.email }]);
  });

  describe("the address that was left", () => {
    const register = (email: string) => stand.client().post("/api/v1/users/customers/", registration({ email }));
    const taken = [400, { email: ["user with this email already exists."] }];

    test("verified: nobody else gets it, in whatever spelling and by whatever way, so that it can be taken back", async () => {
      const { person, confirm, undo } = await requested();
      await stand.query("update users set is_email_verified = true where id = $1", [person.id]);
      expect((await confirmed(confirm)).status).toBe(200);
      expect(said(await register(person.email.toUpperCase()))).toEqual(taken);
      const [moderator, other] = [await signUp(stand, "MO"), await signUp(stand)];
      const byModerator = { body: { email: person.email } };
      expect(said(await moderator.client.request("PATCH", `/api/v1/users/${other.id}/`, byModerator))).toEqual(taken);
      const newModerator = registration({ email: person.email });
      expect(said(await moderator.client.post("/api/v1/users/moderators/", newModerator))).toEqual(taken);
      await patch(other, { email: person.email, current_password: password });
      const theirs = path("confirm-email", (await stand.mailTo(person.email, 3)).text);
      expect((await confirmed(theirs)).text).toContain("already exists");
      expect((await takeBack(undo)).status).toBe(200);
      expect(await signIn(person.email, newPassword)).toBe(200);
    });

    test("its owner may go back to it himself", async () => {
      const { person, confirm } = await requested();
      await stand.query("update users set is_email_verified = true where id = $1", [person.id]);
      await confirmed(confirm);
      await patch(person, { email: person.email, current_password: password });
      const back = path("confirm-email", (await stand.mailTo(person.email, 3)).text);
      expect((await confirmed(back)).status).toBe(200);
      expect(await emailsOf(person)).toMatchObject({ email: person.email });
    });

    test.each([
      ["a week after the notice was sent", "update one_time_tokens set expires_at = now() where user_id = $1"],
      ["never verified: nobody's", "select $1::int"],
    ])("%s: anybody may register it", async (_, before) => {
      const { person, confirm } = await requested();
      if (before.startsWith("update"))
        await stand.query("update users set is_email_verified = true where id = $1", [person.id]);
      await confirmed(confirm);
      await stand.query(before, [person.id]);
      expect((await register(person.email)).status).toBe(201);
    });
  });

  test.each([
    [
      "asks for it, while the password is compared",
      ({ client }: Person, to: string) =>
        client.request("PATCH", current, { body: { email: to, current_password: password } }),
      { status: 401, pending: false },
    ],
    [
      "confirms it with a button",
      async ({ client }: Person, to: string) =>
        client.request("POST", path("confirm-email", (await stand.mailTo(to)).text)),
      { status: 400, pending: true },
    ],
  ])("the session ends of one who %s: refused", async (_, act, { status, pending }) => {
    const { person, to } = pending ? await requested() : { person: await signUp(stand), to: uniqueEmail("new") };
    const other = new pg.Client({ connectionString: stand.database.url });
    await other.connect();
    try {
      await other.query("begin");
      await other.query("select 1 from users where id = $1 for update", [person.id]);
      const change = act(person, to);
      await eventually("the change waits for the lock", async () => {
        const waiting =
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        return (await stand.query(waiting)).length > 0 ? true : undefined;
      });
      await other.query("update sessions set ended_at = now() where user_id = $1", [person.id]);
      await other.query("commit");
      expect((await change).status).toBe(status);
      expect(await stand.query("select email, pending_email from users where id = $1", [person.id])).toEqual([
        { email: person.email, pending_email: pending ? to : null },
      ]);
    } finally {
      await other.end();
    }
  });

  test("taken back before it was confirmed: the address stays, all sessions end, the other link is dead", async () => {
    const { person, to, confirm, undo } = await requested();
    expect((await stand.client().get(undo)).status).toBe(200);
    expect((await person.client.get(current)).status).toBe(200);
    expect([await post(undo), await post(undo, { new_password: "password" })].map(({ status }) => status)).toEqual([
      400, 400,
    ]);
    expect((await post(undo, { new_password: person.email })).text).toContain("too similar");
    expect((await takeBack(undo)).status).toBe(200);
    expect((await person.client.get(current)).status).toBe(401);
    expect((await person.client.post("/api/v1/tokens/refresh/")).status).toBe(401);
    expect((await post(confirm, { password: newPassword })).status).toBe(400);
    expect([await signIn(to), await signIn(person.email)]).toEqual([401, 401]);
    expect(await signIn(person.email, newPassword)).toBe(200);
    expect((await takeBack(undo)).status).toBe(400);
  });

  test("taken back after it was confirmed: the old address is back, all sessions end", async () => {
    const { person, to, confirm, undo } = await requested();
    await confirmed(confirm);
    expect((await post(undo, { new_password: person.email })).text).toContain("too similar");
    const thief = stand.client();
    await thief.post("/api/v1/tokens/", { email: to, password });
    expect((await takeBack(undo)).status).toBe(200);
    expect([await signIn(to), await signIn(person.email), await signIn(to, newPassword)]).toEqual([401, 401, 401]);
    expect(await signIn(person.email, newPassword)).toBe(200);
    for (const client of [thief, person.client]) expect((await client.get(current)).status).toBe(401);
  });

  test("a second change does not disarm the first notice; the link of the first new address is dead", async () => {
    const { person, confirm, undo } = await requested();
    const second = uniqueEmail("second");
    await patch(person, { email: second, current_password: password });
    expect((await confirmed(confirm)).status).toBe(400);
    const later = path("confirm-email", (await stand.mailTo(second)).text);
    expect((await confirmed(later)).status).toBe(200);
    const third = uniqueEmail("third");
    await patch(person, { email: third, current_password: password });
    expect((await confirmed(path("confirm-email", (await stand.mailTo(third)).text))).status).toBe(200);
    // The newest link to the old address; the one before it was for the same address and was replaced.
    expect((await takeBack(undo)).status).toBe(400);
    const newest = path("undo-email", (await stand.mailTo(person.email, 3)).text);
    expect((await takeBack(newest)).status).toBe(200);
    expect(await signIn(person.email, newPassword)).toBe(200);
  });

  test("a thief who takes back his own second change does not disarm the owner's link", async () => {
    const { person, to, confirm, undo } = await requested();
    await confirmed(confirm);
    await patch(person, { email: uniqueEmail("second"), current_password: password });
    const own = path("undo-email", (await stand.mailTo(to, 2)).text);
    expect((await post(own, { new_password: "a password of the thief's" })).status).toBe(200);
    expect((await takeBack(undo)).status).toBe(200);
    expect([await signIn(person.email, newPassword), await signIn(to, "a password of the thief's")]).toEqual([
      200, 401,
    ]);
  });

  test("taken over by a mailed link while the password is compared: the change is refused", async () => {
    const person = await signUp(stand);
    const hash = await stand.query<{ h: string }>("select password_hash as h from users where id = $1", [person.id]);
    const other = new pg.Client({ connectionString: stand.database.url });
    await other.connect();
    try {
      await other.query("begin");
      await other.query("update users set password_hash = $2, session_epoch = session_epoch + 1 where id = $1", [
        person.id,
        `${hash[0]!.h.slice(0, -4)}AAAA`,
      ]);
      const change = patch(person, { email: uniqueEmail("thief"), current_password: password });
      await eventually("the change waits for the lock", async () => {
        const waiting =
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        return (await stand.query(waiting)).length > 0 ? true : undefined;
      });
      await other.query("commit");
      expect((await change).status).toBe(401);
    } finally {
      await other.end();
    }
  });

  test("an address that somebody else has: the answer does not tell; the link does, to its owner", async () => {
    const [person, other] = [await signUp(stand), await signUp(stand)];
    const answer = await patch(person, { email: other.email, current_password: password });
    expect(said(answer)).toEqual([200, expect.objectContaining({ email: person.email, pending_email: other.email })]);
    const link = path("confirm-email", (await stand.mailTo(other.email, 2)).text);
    const refused = await confirmed(link);
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("already exists")]);
    expect(await emailsOf(person)).toMatchObject({ email: person.email });
    expect(await signIn(other.email)).toBe(200);
  });

  test("another account's reference, another purpose, or no token of ours: refused", async () => {
    const { person, to, confirm, undo } = await requested();
    const other = await signUp(stand);
    const reference = (id: number) => Buffer.from(String(id)).toString("base64url");
    const foreign = confirm.replace(`/${reference(person.id)}/`, `/${reference(other.id)}/`);
    expect((await confirmed(foreign)).status).toBe(400);
    expect((await takeBack(confirm.replace("confirm-email", "undo-email"))).status).toBe(400);
    expect((await confirmed(undo.replace("undo-email", "confirm-email"))).status).toBe(400);
    expect((await confirmed(confirm.replace("/confirm-email/", "/verify/"))).status).toBe(400);
    expect((await confirmed(confirm.replace(/[^/]+\/$/, `${"A".repeat(64)}/`))).status).toBe(400);
    expect((await confirmed(confirm.replace(`/${reference(person.id)}/`, "/OTk5OTk5OTk/"))).status).toBe(404);
    expect(await emailsOf(person)).toMatchObject({ email: person.email, pending_email: to });
  });
});
