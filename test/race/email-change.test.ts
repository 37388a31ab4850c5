import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { patiently, signUp, submitForm, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const post = (link: string) => patiently(() => submitForm(service, link, { password }));
const statuses = (answers: readonly { status: number }[]) => answers.map(({ status }) => status).toSorted();
const emailOf = async ({ id }: Person) =>
  (await service.query<{ email: string }>("select email from users where id = $1", [id]))[0]?.email;

/** The link by which somebody confirms a new address, out of the mail to that address. */
async function requested(person: Person, to: string): Promise<string> {
  const body = { email: to, current_password: password };
  expect((await person.client.request("PATCH", "/api/v1/users/current/", { body })).status).toBe(200);
  const own = `/users/${Buffer.from(String(person.id)).toString("base64url")}/confirm-email/`;
  return await eventually(`the link to ${to}`, async () => {
    const links = (await service.mails()).map(({ text }) => /https?:\/\/\S+\/confirm-email\/\S+/.exec(text)?.[0]);
    const link = links.find((one) => one?.includes(own));
    return link === undefined ? undefined : new URL(link).pathname;
  });
}

describe("a confirmed address", () => {
  test("16 confirmations with one link: one counts, one event", async () => {
    const [person, to] = [await signUp(service), uniqueEmail("new")];
    const link = await requested(person, to);
    const answers = await Promise.all(Array.from({ length: 16 }, () => post(link)));
    expect(statuses(answers)).toEqual([200, ...Array.from({ length: 15 }, () => 400)]);
    const events = await service.query(
      "select version from outbox where user_id = $1 and type = 'user.email_changed'",
      [person.id],
    );
    expect(events).toEqual([{ version: 2 }]);
    expect(await emailOf(person)).toBe(to);
  });

  test("two accounts confirm the same new address at once, in two spellings: one has it", async () => {
    const [one, other, to] = [await signUp(service), await signUp(service), uniqueEmail("wanted")];
    const links = [await requested(one, to), await requested(other, to.toUpperCase())];
    const answers = await Promise.all([...links, ...links, ...links, ...links].map(post));
    expect(statuses(answers)).toEqual([200, ...Array.from({ length: 7 }, () => 400)]);
    const owners = await service.query("select id from users where email_canonical = lower($1)", [to]);
    expect(owners).toHaveLength(1);
    const kept = [await emailOf(one), await emailOf(other)].filter(
      (email) => email?.toLowerCase() !== to.toLowerCase(),
    );
    expect(kept).toHaveLength(1);
    expect([one.email, other.email]).toContain(kept[0]);
  });

  test("somebody registers the address at the moment in which it is confirmed: one has it, nobody gets a 500", async () => {
    const [person, to] = [await signUp(service), uniqueEmail("wanted")];
    const link = await requested(person, to);
    const [confirmed, registered] = await Promise.all([
      post(link),
      service.client().post("/api/v1/users/customers/", registration({ email: to.toUpperCase() })),
    ]);
    expect([
      [200, 400],
      [400, 201],
    ]).toContainEqual([confirmed.status, registered.status]);
    expect(await service.query("select 1 from users where email_canonical = $1", [to])).toHaveLength(1);
  });

  test("confirmed and taken back at once: in the end the old address is there, and no session lives", async () => {
    const [person, to] = [await signUp(service), uniqueEmail("new")];
    const confirm = await requested(person, to);
    const notice = await service.mailTo(person.email, 2);
    const undo = new URL(/https?:\/\/\S+\/undo-email\/\S+/.exec(notice.text)?.[0] ?? "").pathname;
    const takeBack = () =>
      service.client().request("POST", undo, {
        headers: { "content-type": "application/x-www-form-urlencoded" },
        raw: new URLSearchParams({ new_password: "a password of the owner's" }).toString(),
      });
    const [, ...undone] = await Promise.all([post(confirm), takeBack(), takeBack()]);
    expect(statuses(undone)).toEqual([200, 400]);
    expect(await emailOf(person)).toBe(person.email);
    expect((await post(confirm)).status).toBe(400);
    expect((await person.client.get("/api/v1/users/current/")).status).toBe(401);
  });
});
