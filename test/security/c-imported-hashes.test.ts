import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { signUp } from "../contract/accounts.ts";
import { djangoHashes } from "../support/django-hashes.ts";
import { uniqueEmail } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

let stand: TestStand;
let running: ServiceProcess;
beforeAll(async () => {
  stand = await createStand();
  running = startProcess(stand.env);
  await running.ready();
});
afterAll(async () => {
  await running.stop();
  await stand.stop();
});

const login = "/api/v1/tokens/";
const wrong = "wrong horse battery";
async function timeOf(email: string, typed: string, status: number): Promise<number> {
  const begun = performance.now();
  expect((await stand.client().post(login, { email, password: typed })).status).toBe(status);
  return performance.now() - begun;
}
/** Of each kind its best, in turns: what others do on the machine makes some longer, and not always the same ones. */
async function leastOf<Kind extends string>(
  kinds: Readonly<Record<Kind, readonly [email: () => string, typed: string, status: number]>>,
): Promise<Record<Kind, number>> {
  const least = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, Infinity])) as Record<Kind, number>;
  for (let nth = 0; nth < 4; nth++)
    for (const kind of Object.keys(kinds) as Kind[])
      least[kind] = Math.min(least[kind], await timeOf(kinds[kind][0](), kinds[kind][1], kinds[kind][2]));
  return least;
}

/**
 * That each of them pays for Django's hash at all. How close they are is shown by `hash-jobs.test.ts` and measured by
 * `npm run bench -- --row enumeration`; unequal ones were a hundred times apart.
 */
test("25 while imported hashes are left a wrong password takes as long for every address, and a right one does not", async () => {
  const [imported, inactive, own] = [await signUp(stand), await signUp(stand), await signUp(stand)];
  const [{ stored, password }] = djangoHashes;
  await stand.query("update users set password_hash = $2 where id = any($1)", [[imported.id, inactive.id], stored]);
  await stand.query("update users set is_active = false where id = $1", [inactive.id]);
  const nobody = [() => uniqueEmail("nobody"), wrong, 401] as const;
  const before = await leastOf({ nobody });
  await running.stop();
  // Which hashes are left is looked up at the start, and then once a minute.
  running = startProcess(stand.env);
  await running.ready();

  const { right, ...refused } = await leastOf({
    nobody,
    imported: [() => imported.email, wrong, 401],
    own: [() => own.email, wrong, 401],
    inactive: [() => inactive.email, wrong, 401],
    // An inactive account is no way to try passwords by the clock either.
    inactiveAndRight: [() => inactive.email, password, 401],
    right: [() => own.email, "correct horse battery", 200],
  });
  const times = Object.values(refused);
  expect(Math.max(...times)).toBeLessThan(3 * Math.min(...times));
  expect(Math.min(...times)).toBeGreaterThan(5 * before.nobody);
  expect(right).toBeLessThan(Math.min(...times) / 2);
});
