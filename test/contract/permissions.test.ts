import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { permissions, type Permission } from "../../services/api-gateway/permissions.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import type { TestStand } from "../support/service.ts";
import { bearer, signUp } from "./accounts.ts";
import { sampleOf } from "./route-samples.ts";
import { startStand } from "./stand.ts";

/** Who may call which route at all: test/security/f-permissions.test.ts. */
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
  // Never the last one: whatever happens to the moderators of single tests is then allowed.
  await signUp(stand, "MO");
});
afterAll(() => stand.stop());

const profile = registration().user_profile;
const creates = /POST .*(?:customers|couriers|managers|moderators)/;

describe("1 4 8.2.3 which fields a body may set", () => {
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
    const [user] = await stand.query<Row>("select * from users where id = $1", [id]);
    const [own] = await stand.query<Row>("select * from user_profiles where user_id = $1", [id]);
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
    const target = await signUp(stand);
    const caller = permission.who === "moderator" ? await signUp(stand, "MO") : target;
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
    const target = await signUp(stand, "CU", { verified: true });
    const { method, path, body } = await sampleOf(stand, route, target);
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
      const caller = permission.who === "moderator" ? await signUp(stand, "MO") : undefined;
      const path = `${route.split(" ")[1] ?? ""}${query}`;
      const create = async (body: unknown): Promise<Row> => {
        const answer = await stand.client().request("POST", path, { body, ...(caller && bearer(caller.token)) });
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
