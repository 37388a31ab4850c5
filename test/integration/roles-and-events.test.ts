import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { said, signUp, type Person, type Role } from "../contract/accounts.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let moderator: Person;
beforeAll(async () => {
  service = await startService();
  moderator = await signUp(service, "MO");
});
afterAll(() => service.stop());

interface Event {
  readonly version: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}
const eventsOf = ({ id }: Person) =>
  service.query<Event>("select version, type, data from outbox where user_id = $1 order by version", [id]);
const change = (person: Person, body: unknown) =>
  moderator.client.request("PATCH", `/api/v1/users/${person.id}/`, { body });
const own = ({ client }: Person, body: unknown) => client.request("PATCH", "/api/v1/users/current/", { body });
/** Somebody who is this many years old, his birthday having been `days` ago. */
const born = (years: number, days = 1) => {
  const now = new Date();
  const date = new Date(Date.UTC(now.getUTCFullYear() - years, now.getUTCMonth(), now.getUTCDate() - days));
  return date.toISOString().slice(0, 10);
};
const aged = (birth_date: string, role: Role = "CU") =>
  signUp(service, role, {
    user_profile: { first_name: "Anna", last_name: "Kowalska", phone: "+48512345678", birth_date },
  });
const tooYoung = "You must be at least 18 years old.";

describe("a change of the role", () => {
  test("each role the first time tells so, a second time not; back and forth, without gaps", async () => {
    const person = await signUp(service);
    const path: Role[] = ["RM", "CU", "RM", "CO", "MO", "CO", "CU"];
    for (const role of path) expect((await change(person, { role })).json()).toMatchObject({ role });
    const events = await eventsOf(person);
    expect(events.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(events.slice(1).map(({ type, data }) => [type, data["from"], data["to"], data["first_time"]])).toEqual([
      ["user.role_changed", "CU", "RM", true],
      ["user.role_changed", "RM", "CU", false],
      ["user.role_changed", "CU", "RM", false],
      ["user.role_changed", "RM", "CO", true],
      ["user.role_changed", "CO", "MO", true],
      ["user.role_changed", "MO", "CO", false],
      ["user.role_changed", "CO", "CU", false],
    ]);
    const [row] = await service.query<{ held: string[] }>("select roles_held as held from users where id = $1", [
      person.id,
    ]);
    expect(row?.held.toSorted()).toEqual(["CO", "CU", "MO", "RM"]);
  });

  test("the event has what a first <Role>CreatedEvent needs: the name and the picture as they are then", async () => {
    const person = await signUp(service, "CO");
    await change(person, { role: "CU", user_profile: { first_name: "Ewa" } });
    const last = (await eventsOf(person)).at(-1);
    expect(last?.data).toMatchObject({ to: "CU", first_time: true, full_name: "Ewa Kowalska" });
    expect(last?.data["image_url"]).toMatch(new RegExp(`^${service.url}/`));
  });

  test("to the role that it has already: no event, no version", async () => {
    const person = await signUp(service, "RM");
    expect((await change(person, { role: "RM" })).status).toBe(200);
    expect(await eventsOf(person)).toHaveLength(1);
  });

  test("nobody promotes himself, by any route", async () => {
    const person = await signUp(service, "CU", { verified: true });
    const bodies = [{ role: "MO" }, { user_profile: { role: "MO" } }, { user: { role: "MO" } }];
    for (const body of bodies) {
      await own(person, body);
      expect((await person.client.request("PATCH", `/api/v1/users/${person.id}/`, { body })).status).toBe(403);
    }
    const [row] = await service.query("select role, roles_held from users where id = $1", [person.id]);
    expect(row).toEqual({ role: "CU", roles_held: ["CU"] });
  });
});

describe("the least age of a role", () => {
  test.each(["CO", "RM", "MO"] as const)(
    "17 years and a change to %s: refused at role, and nothing changes",
    async (role) => {
      const person = await aged(born(17));
      expect(said(await change(person, { role, is_email_verified: true }))).toEqual([400, { role: [tooYoung] }]);
      expect(await eventsOf(person)).toHaveLength(1);
    },
  );

  test("on the 18th birthday: allowed; a day before: not", async () => {
    expect((await change(await aged(born(18, 0)), { role: "CO" })).status).toBe(200);
    expect((await change(await aged(born(18, -1)), { role: "CO" })).status).toBe(400);
  });

  test("role and birth date together: what both become counts", async () => {
    const young = await aged(born(17));
    const older = { role: "RM", user_profile: { birth_date: born(30) } };
    expect((await change(young, older)).status).toBe(200);
    const person = await aged(born(30));
    const younger = { role: "RM", user_profile: { birth_date: born(17) } };
    expect(said(await change(person, younger))).toEqual([400, { user_profile: { birth_date: [tooYoung] } }]);
    const manager = await aged(born(30), "RM");
    const both = { role: "CU", user_profile: { birth_date: born(17) } };
    expect((await change(manager, both)).status).toBe(200);
  });

  test.each([
    ["a courier", "CO", 17, 400],
    ["a courier", "CO", 18, 200],
    ["a customer", "CU", 15, 400],
    ["a customer", "CU", 16, 200],
  ] as const)("%s (%s) who says that he is %i: %i", async (_, role, years, status) => {
    const person = await aged(born(30), role);
    const body = { user_profile: { birth_date: born(years) } };
    for (const answer of [await own(person, body), await change(person, body)]) expect(answer.status).toBe(status);
  });
});

describe("everything at once", () => {
  test("one PATCH of all fields: each change its event, versions without gaps, all or nothing", async () => {
    const person = await signUp(service);
    const body = {
      email: uniqueEmail("all.new"),
      role: "CO",
      is_active: false,
      is_email_verified: true,
      user_profile: { first_name: "Ewa", last_name: "Nowak", phone: "+375291234567", birth_date: "1980-02-29" },
    };
    expect(said(await change(person, body))).toEqual([
      200,
      expect.objectContaining({ ...body, user_profile: expect.objectContaining(body.user_profile) }),
    ]);
    const events = await eventsOf(person);
    expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1));
    expect(events.map(({ type }) => type).toSorted()).toEqual([
      "user.deactivated",
      "user.email_changed",
      "user.email_verified",
      "user.profile_updated",
      "user.registered",
      "user.role_changed",
    ]);
    const [row] = await service.query("select version from users where id = $1", [person.id]);
    expect(row).toEqual({ version: events.length });

    await change(person, body);
    expect(await eventsOf(person)).toHaveLength(events.length);

    const refused = { ...body, role: "RM", is_active: true, email: moderator.email };
    expect((await change(person, refused)).status).toBe(400);
    expect(await eventsOf(person)).toHaveLength(events.length);
  });

  test("signing in, signing out, asking for a link, asking for a new address: no event", async () => {
    const person = await signUp(service);
    await service.client().post("/api/v1/tokens/", { email: person.email, password });
    await person.client.get("/api/v1/users/current/send-activation/");
    await own(person, { email: uniqueEmail("pending"), current_password: password });
    await person.client.post("/api/v1/tokens/refresh/");
    await person.client.post("/api/v1/tokens/clear/");
    expect(await eventsOf(person)).toHaveLength(1);
  });
});
