import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { fieldsOf, fullViewFields, fullViewOf, publicViewFields, said, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
let moderator: Person;
beforeAll(async () => {
  stand = await startStand();
  moderator = await signUp(stand, "MO");
});
afterAll(() => stand.stop());

const path = (id: number | string) => `/api/v1/users/${id}/`;
const view = async (person: Person) => (await moderator.client.get(path(person.id))).json();
const patch = (id: number, body: unknown) => moderator.client.request("PATCH", path(id), { body });
const put = (id: number, body: unknown) => moderator.client.request("PUT", path(id), { body });
const required = ["This field is required."];

describe("GET /users/{id}/", () => {
  test("the account itself and a moderator: the full view; everybody else: the public one, exactly", async () => {
    const body = registration();
    const client = stand.client();
    const { id } = (await client.post("/api/v1/users/couriers/", body)).json();
    const full = fullViewOf(stand, "CO", body);
    for (const who of [client, moderator.client]) expect(said(await who.get(path(Number(id))))).toEqual([200, full]);

    const { user_profile } = full as { user_profile: { image_url: unknown } };
    const publicView = {
      id,
      role: "CO",
      user_profile: { first_name: "Anna", full_name: "Anna Kowalska", image_url: user_profile.image_url },
    };
    const unverified = await signUp(stand, "MO", { verified: false });
    for (const who of [stand.client(), (await signUp(stand)).client, unverified.client]) {
      expect(said(await who.get(path(Number(id))))).toEqual([200, publicView]);
    }
  });

  test.each([
    ["no such account", "99999999", 404],
    ["the largest integer", "9007199254740991", 404],
    ["0", "0", 400],
    ["a negative id", "-1", 400],
    ["beyond all integers", "9007199254740993", 400],
    ["beyond all of PostgreSQL's", "9".repeat(30), 400],
    ["letters", "abc", 400],
    ["an exponent", "1e3", 400],
    ["an encoded slash", "1%2F2", 400],
    ["a leading zero", "01", 400],
    ["SQL", "1;select pg_sleep(9)", 400],
    ["NUL", "%00", 400],
  ])("%s: refused in the same way for everybody", async (_, id, status) => {
    const answers = await Promise.all([stand.client(), moderator.client].map((client) => client.get(path(id))));
    for (const answer of answers) {
      const expected = status === 404 ? { detail: "Not found.", code: "not_found" } : { id: [expect.any(String)] };
      expect(said(answer)).toEqual([status, expected]);
    }
  });
});

describe("PUT and PATCH /users/{id}/ by a moderator", () => {
  test("PATCH of one part at a time: 200, the full view, and only that part", async () => {
    const person = await signUp(stand, "RM");
    let expected = await view(person);
    const email = uniqueEmail("changed");
    for (const change of [{ email }, { role: "CO" }, { is_email_verified: true }, { is_active: false }]) {
      expected = { ...expected, ...change };
      expect(said(await patch(person.id, change))).toEqual([200, expected]);
    }
    const profile = expected["user_profile"] as Record<string, unknown>;
    const answer = await patch(person.id, { user_profile: { last_name: "Nowak" } });
    const user_profile = { ...profile, last_name: "Nowak", full_name: "Anna Nowak" };
    expect(said(answer)).toEqual([200, { ...expected, user_profile }]);
    expect(await view(person)).toEqual(answer.json());
  });

  test("PUT with the full view sent back, and something changed in it", async () => {
    const person = await signUp(stand);
    const before = await view(person);
    expect(said(await put(person.id, before))).toEqual([200, before]);
    expect(said(await put(person.id, { ...before, role: "RM" }))).toEqual([200, { ...before, role: "RM" }]);
  });

  test("PUT without address or profile: named as missing", async () => {
    const { id } = await signUp(stand);
    expect(said(await put(id, { role: "RM" }))).toEqual([400, { email: required, user_profile: required }]);
  });

  test("an address takes effect at once: the old one signs nobody in, and is told", async () => {
    const person = await signUp(stand);
    const email = uniqueEmail("at.once");
    expect((await patch(person.id, { email })).json()).toMatchObject({ email, pending_email: null });
    const signIn = (typed: string) =>
      stand.client().post("/api/v1/tokens/", { email: typed, password: "correct horse battery" });
    expect([(await signIn(email)).status, (await signIn(person.email)).status]).toEqual([200, 401]);
    await eventually("the notice", async () =>
      (await stand.mails()).find(({ to, text }) => to.includes(person.email) && text.includes("tell our support")),
    );
    expect(await stand.query("select 1 from mails where address = $1", [email])).toEqual([]);
  });

  test("an address in another spelling: nobody is told", async () => {
    const person = await signUp(stand);
    expect((await patch(person.id, { email: person.email.toUpperCase() })).status).toBe(200);
    const told = "select 1 from mails where user_id = $1 and kind = 'email-moved'";
    expect(await stand.query(told, [person.id])).toEqual([]);
  });

  test("somebody else's address: the field error, and nothing of the request is kept", async () => {
    const [person, other] = [await signUp(stand), await signUp(stand)];
    const before = await view(person);
    const body = { email: other.email.toUpperCase(), user_profile: { first_name: "Ewa" }, role: "CO" };
    expect(said(await patch(person.id, body))).toEqual([400, { email: ["user with this email already exists."] }]);
    expect(await view(person)).toEqual(before);
  });

  test("a field wrong among others: nothing of the request is kept", async () => {
    const person = await signUp(stand);
    const before = await view(person);
    const refused = await patch(person.id, { is_active: false, role: "RM", user_profile: { phone: "1" } });
    expect(said(refused)).toEqual([400, { user_profile: { phone: [expect.any(String)] } }]);
    expect(await view(person)).toEqual(before);
  });

  test.each([
    ["a role that does not exist", { role: "AD" }, "role"],
    ["a role in lower case", { role: "mo" }, "role"],
    ["an array of roles", { role: ["CU"] }, "role"],
    ["text for a flag", { is_active: "false" }, "is_active"],
    ["a number for a flag", { is_email_verified: 1 }, "is_email_verified"],
    ["null for a flag", { is_active: null }, "is_active"],
    ["an array for an address", { email: ["a@example.com"] }, "email"],
  ])("%s: 400 at that field", async (_, body, field) => {
    const person = await signUp(stand);
    expect(said(await patch(person.id, body))).toEqual([400, { [field]: [expect.any(String)] }]);
  });

  test("an id in the body does not matter; the path's account changes", async () => {
    const [one, other] = [await signUp(stand), await signUp(stand)];
    expect((await patch(one.id, { id: other.id, is_active: false })).json()).toMatchObject({ id: one.id });
    expect(await view(other)).toMatchObject({ is_active: true });
  });

  test("an account that does not exist: 404", async () => {
    const body = { email: uniqueEmail(), user_profile: registration().user_profile };
    for (const method of ["PUT", "PATCH"]) {
      const answer = await moderator.client.request(method, path(99_999_999), { body });
      expect(said(answer)).toEqual([404, { detail: "Not found.", code: "not_found" }]);
    }
  });

  test("the last active moderator: neither demoted, nor deactivated, nor left without a verified address", async () => {
    await stand.query("update users set role = 'CU' where role = 'MO' and id <> $1", [moderator.id]);
    const before = await view(moderator);
    for (const body of [{ role: "RM" }, { is_active: false }, { is_email_verified: false }]) {
      expect(said(await patch(moderator.id, body))).toEqual([
        409,
        { detail: expect.any(String), code: "last_moderator" },
      ]);
    }
    // One who is inactive or not verified is nobody to rely on.
    const useless = await signUp(stand, "MO", { verified: false });
    expect((await patch(moderator.id, { role: "CU" })).status).toBe(409);
    await stand.query("update users set is_email_verified = true, is_active = false where id = $1", [useless.id]);
    expect((await patch(moderator.id, { role: "CU" })).status).toBe(409);
    expect(await view(moderator)).toEqual(before);
  });

  test("views have exactly the contract's fields", async () => {
    const person = await signUp(stand);
    const full = (await moderator.client.get(path(person.id))).json();
    expect(fieldsOf(full)).toEqual(fullViewFields);
    expect(fieldsOf((await stand.client().get(path(person.id))).json())).toEqual(publicViewFields);
  });
});
