import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { password, registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { fullViewOf, said, setCookiesOf, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const profile = registration().user_profile;
const countUsers = async () => (await stand.query<{ n: number }>("select count(*)::int as n from users"))[0]?.n;

describe.each([
  ["customers", "CU"],
  ["couriers", "CO"],
  ["managers", "RM"],
] as const)("POST /users/%s/", (path, role) => {
  test("a registration: 201, the full view, both cookies, signed in and not verified", async () => {
    const client = stand.client();
    const body = registration();
    const answer = await client.post(`/api/v1/users/${path}/`, body);
    expect(said(answer)).toEqual([201, fullViewOf(stand, role, body)]);
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    const names = setCookiesOf(answer).map(({ name }) => name);
    expect(names).toEqual(["access_token", "refresh_token", "refresh_token", "device_id"]);
    const current = await client.get("/api/v1/users/current/");
    expect(said(current)).toEqual([200, answer.json()]);
  });

  test("role, id and flags in the body: ignored", async () => {
    const wanted = { id: 999_999, role: "MO", is_active: false, is_email_verified: true, is_staff: true };
    const answer = await stand.client().post(`/api/v1/users/${path}/?role=MO`, registration(wanted));
    expect(said(answer)).toEqual([201, expect.objectContaining({ role, is_active: true, is_email_verified: false })]);
    const { id } = answer.json();
    expect(id).not.toBe(999_999);
    const [stored] = await stand.query("select role, roles_held, is_staff from users where id = $1", [id]);
    expect(stored).toEqual({ role, roles_held: [role], is_staff: false });
  });
});

describe("POST /users/moderators/", () => {
  test("a moderator makes another one: verified, no cookies, able to sign in and to moderate", async () => {
    const { client } = await signUp(stand, "MO");
    const body = registration();
    const answer = await client.post("/api/v1/users/moderators/", { ...body, expires_session: true });
    expect(said(answer)).toEqual([201, fullViewOf(stand, "MO", body)]);
    expect(setCookiesOf(answer)).toEqual([]);
    const made = stand.client();
    expect((await made.post("/api/v1/tokens/", { email: body.email, password })).status).toBe(200);
    expect((await made.get("/api/v1/users/?limit=1")).status).toBe(200);
  });
});

describe("registration: what is refused", () => {
  const post = (body: unknown) => stand.client().post("/api/v1/users/customers/", body);

  test("nothing at all: every field is named, the profile's too", async () => {
    const required = ["This field is required."];
    expect(said(await post({}))).toEqual([400, { email: required, password: required, user_profile: required }]);
    expect(said(await post({ email: uniqueEmail(), password, user_profile: {} }))).toEqual([
      400,
      { user_profile: { first_name: required, last_name: required, phone: required, birth_date: required } },
    ]);
  });

  test("several fields wrong at once: all are named, and nothing of what was typed comes back", async () => {
    const answer = await post({
      email: "CANARY@@example.com",
      password: "CANARY",
      user_profile: { first_name: "CANARY\u0000", last_name: " ", phone: "CANARY", birth_date: "2001-02-31" },
    });
    expect(said(answer)).toEqual([
      400,
      {
        email: [expect.any(String)],
        password: [expect.any(String)],
        user_profile: {
          first_name: [expect.any(String)],
          last_name: ["This field may not be blank."],
          phone: [expect.any(String)],
          birth_date: [expect.any(String)],
        },
      },
    ]);
    expect(answer.text).not.toContain("CANARY");
    expect(setCookiesOf(answer)).toEqual([]);
  });

  test.each([
    ["an array for an address", { email: ["a@example.com", "b@example.com"] }, ["email"]],
    ["an operator for an address", { email: { $ne: "" } }, ["email"]],
    ["null for an address", { email: null }, ["email"]],
    ["a number for a password", { password: 12_345_678 }, ["password"]],
    ["an object for a password", { password: { length: 10 } }, ["password"]],
    ["text for expires_session", { expires_session: "yes" }, ["expires_session"]],
    ["text for a profile", { user_profile: "Anna" }, ["user_profile"]],
    ["an array for a profile", { user_profile: [] }, ["user_profile"]],
    ["a number for a name", { user_profile: { ...profile, first_name: 5 } }, ["user_profile"]],
    ["a name of 255 characters", { user_profile: { ...profile, last_name: "x".repeat(255) } }, ["user_profile"]],
    ["an address of 255 characters", { email: `${"a".repeat(64)}@${"b.".repeat(93)}coms` }, ["email"]],
    ["two addresses", { email: "a@example.com,evil@example.org" }, ["email"]],
    ["a quoted local part", { email: '"e@attacker.example"@example.com' }, ["email"]],
    ["an address in angle brackets", { email: "<evil@example.org> a@example.com" }, ["email"]],
    ["a group", { email: "group: a@example.com, evil@example.org;" }, ["email"]],
    ["a comment", { email: "a(c)@example.com" }, ["email"]],
    ["a header in the address", { email: "a@example.com\r\nBcc: evil@example.org" }, ["email"]],
    ["a Kelvin sign", { email: "\u212Aate@example.com" }, ["email"]],
    ["a NUL in the address", { email: "a@example.com\u0000" }, ["email"]],
    ["seven characters", { password: "1234567" }, ["password"]],
    ["the address as password", { email: "some.long.name@example.com", password: "Some.Long.Name" }, ["password"]],
  ])("%s: 400 naming the field", async (_, changes, fields) => {
    const before = await countUsers();
    const answer = await post(registration(changes));
    expect([answer.status, Object.keys(answer.json())]).toEqual([400, fields]);
    expect(await countUsers()).toBe(before);
  });

  test("a 200 KB password: refused before it is hashed", async () => {
    expect((await post(registration({ password: "x".repeat(200_000) }))).status).toBe(413);
    expect(Object.keys((await post(registration({ password: "x".repeat(10_000) }))).json())).toEqual(["password"]);
  });

  test.each([
    ["an IDN in its two forms", (name: string) => [`${name}@bücher.example`, `${name}@xn--bcher-kva.example`]],
    ["an IDN decomposed", (name: string) => [`${name}@bücher.example`, `${name}@BU\u0308CHER.example`]],
  ])("%s: one account", async (_, spellings) => {
    const [one, other] = spellings(uniqueEmail().split("@")[0] ?? "");
    expect((await post(registration({ email: one }))).status).toBe(201);
    expect(said(await post(registration({ email: other })))).toEqual([
      400,
      { email: ["user with this email already exists."] },
    ]);
  });

  test.each(["__proto__", "constructor", "prototype"])("the key %s at any depth: refused as a whole", async (key) => {
    const poison = `"${key}":{"role":"MO"}`;
    const body = JSON.stringify(registration());
    const deep = `${'{"a":'.repeat(20)}{${poison}}${"}".repeat(20)}`;
    const bodies = [
      body.replace("{", `{${poison},`),
      body.replace('"user_profile":{', `"user_profile":{${poison},`),
      body.replace("{", `{"unknown":[[{${poison}}]],`),
      body.replace("{", `{"unknown":${deep},`),
      body.replace("{", `{"${key.replace("o", "\\u006f")}":1,`),
    ];
    const before = await countUsers();
    for (const raw of bodies) {
      const options = { raw, headers: { "content-type": "application/json" } };
      const answer = await stand.client().request("POST", "/api/v1/users/customers/", options);
      expect(said(answer)).toEqual([400, { detail: expect.any(String), code: "forbidden_key" }]);
    }
    expect(await countUsers()).toBe(before);
  });
});

describe("registration: what is kept", () => {
  test("names are trimmed and composed, any script; a phone is E.164; a password is not trimmed", async () => {
    const body = registration({
      password: "  spaces count  ",
      user_profile: {
        first_name: "  Zoe\u0308 👩‍🍳 ",
        last_name: "\u202eقهوة",
        phone: "+48 (512) 345-678",
        birth_date: "1990-05-17",
      },
    });
    const client = stand.client();
    const answer = await client.post("/api/v1/users/customers/", body);
    expect(said(answer)).toEqual([
      201,
      expect.objectContaining({
        user_profile: expect.objectContaining({
          first_name: "Zo\u00eb 👩‍🍳",
          last_name: "\u202eقهوة",
          full_name: "Zo\u00eb 👩‍🍳 \u202eقهوة",
          phone: "+48512345678",
        }),
      }),
    ]);
    const signIn = (typed: string) => stand.client().post("/api/v1/tokens/", { email: body.email, password: typed });
    expect((await signIn("  spaces count  ")).status).toBe(200);
    expect((await signIn("spaces count")).status).toBe(401);
  });

  test("names and addresses of 254 characters: accepted", async () => {
    const long = "x".repeat(254);
    const email = `${uniqueEmail().split("@")[0] ?? ""}@${"b".repeat(60)}.${"c".repeat(60)}.${"d".repeat(60)}.`;
    const filled = `${email}${"e".repeat(254 - email.length)}`;
    const body = registration({ email: filled, user_profile: { ...profile, first_name: long, last_name: long } });
    expect(said(await stand.client().post("/api/v1/users/customers/", body))).toEqual([
      201,
      expect.objectContaining({ email: filled }),
    ]);
  });

  test.each([
    ["customers", 16],
    ["couriers", 18],
    ["managers", 18],
  ])("%s: from the birthday on that makes %i years", async (path, years) => {
    const born = (days: number) => {
      const now = new Date();
      const date = new Date(Date.UTC(now.getUTCFullYear() - years, now.getUTCMonth(), now.getUTCDate() + days));
      return { ...profile, birth_date: date.toISOString().slice(0, 10) };
    };
    const post = (user_profile: typeof profile) =>
      stand.client().post(`/api/v1/users/${path}/`, registration({ user_profile }));
    expect((await post(born(0))).status).toBe(201);
    expect(said(await post(born(1)))).toEqual([
      400,
      { user_profile: { birth_date: [`You must be at least ${years} years old.`] } },
    ]);
  });
});
