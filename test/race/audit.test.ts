import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let moderators: Person[];
beforeAll(async () => {
  service = await startService();
  moderators = await Promise.all(Array.from({ length: 4 }, () => signUp(service, "MO")));
});
afterAll(() => service.stop());

const sixteen = Array.from({ length: 16 }, (_, index) => index);
const by = (index: number) => moderators[index % moderators.length]!;
interface Row {
  readonly actor_id: number;
  readonly details: { readonly fields?: string[]; readonly role?: { readonly from: string; readonly to: string } };
}
const rowsOf = (event: string, subject: number) =>
  service.query<Row>("select actor_id::int, details from audit_log where event = $1 and subject_id = $2 order by id", [
    event,
    subject,
  ]);

test("sixteen changes of one account at once, by four moderators: sixteen rows that follow from one another", async () => {
  const person = await signUp(service);
  const answers = await Promise.all(
    sixteen.map((index) =>
      by(index).client.request("PATCH", `/api/v1/users/${person.id}/`, {
        body: {
          role: index % 2 === 0 ? "RM" : "CO",
          user_profile: { first_name: `Name ${"abcdefghijklmnop"[index]}` },
        },
      }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(sixteen.map(() => 200));
  const rows = await rowsOf("authz_change", person.id);
  expect(rows).toHaveLength(16);
  for (const { id } of moderators) expect(rows.filter(({ actor_id }) => actor_id === id)).toHaveLength(4);
  const changes = rows.flatMap(({ details: { role } }) => (role ? [role] : []));
  for (const [index, { from }] of changes.entries()) expect(from).toBe(changes[index - 1]?.to ?? "CU");
  const [account] = await service.query("select role from users where id = $1", [person.id]);
  expect(account).toEqual({ role: changes.at(-1)?.to });
});

test("sixteen times the sessions of one account ended at once: sixteen rows", async () => {
  const person = await signUp(service);
  await Promise.all(sixteen.map((index) => by(index).client.request("DELETE", `/api/v1/users/${person.id}/sessions/`)));
  expect(await rowsOf("session_logout", person.id)).toHaveLength(16);
});

test("sixteen refusals at once: sixteen rows", async () => {
  const people = await Promise.all(sixteen.map(() => signUp(service)));
  const target = await signUp(service);
  await Promise.all(
    people.map(({ client }) => client.request("PATCH", `/api/v1/users/${target.id}/`, { body: { role: "MO" } })),
  );
  const rows = await eventually("all are written down", async () => {
    const found = await rowsOf("authz_fail", target.id);
    return found.length >= 16 ? found : undefined;
  });
  expect(rows.map(({ actor_id }) => actor_id).toSorted()).toEqual(people.map(({ id }) => id).toSorted());
});
