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
/** The best of three: what others do on the machine only makes it longer. */
async function leastOf(email: () => string, typed = wrong): Promise<number> {
  const times = [];
  for (let nth = 0; nth < 3; nth++) times.push(await timeOf(email(), typed, 401));
  return Math.min(...times);
}

/** How close they are is measured by `npm run bench -- --row enumeration`; unequal ones were a hundred times apart. */
test("25 while imported hashes are left a wrong password takes as long for every address, and a right one does not", async () => {
  const [imported, inactive, own] = [await signUp(stand), await signUp(stand), await signUp(stand)];
  const [{ stored, password }] = djangoHashes;
  await stand.query("update users set password_hash = $2 where id = any($1)", [[imported.id, inactive.id], stored]);
  await stand.query("update users set is_active = false where id = $1", [inactive.id]);
  const before = await leastOf(() => uniqueEmail("nobody"));
  await running.stop();
  // Which hashes are left is looked up at the start, and then once a minute.
  running = startProcess(stand.env);
  await running.ready();

  const known = await leastOf(() => imported.email);
  expect(known).toBeGreaterThan(5 * before);
  for (const [email, typed] of [
    [() => uniqueEmail("nobody"), wrong],
    [() => own.email, wrong],
    [() => inactive.email, wrong],
    // An inactive account is no way to try passwords by the clock either.
    [() => inactive.email, password],
  ] as const) {
    const ratio = (await leastOf(email, typed)) / known;
    expect(ratio).toBeGreaterThan(0.6);
    expect(ratio).toBeLessThan(1.7);
  }
  expect(await timeOf(own.email, "correct horse battery", 200)).toBeLessThan(known / 2);
});
