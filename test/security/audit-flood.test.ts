import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { said, signUp } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

let stand: TestStand;
let running: ServiceProcess;
beforeAll(async () => {
  stand = await createStand();
});
beforeEach(async () => {
  running = startProcess(stand.env);
  await running.ready();
});
afterEach(() => running.kill());
afterAll(() => stand.stop());

const login = "/api/v1/tokens/";
const crossSite = { headers: { "sec-fetch-site": "cross-site" } };
/** So many, thirty at once. */
async function flood(count: number, ask: () => Promise<unknown>): Promise<void> {
  let left = count;
  const one = async () => {
    while (left-- > 0) await ask();
  };
  await Promise.all(Array.from({ length: 30 }, one));
}
interface Told {
  readonly rows: number;
  /** How many events the rows stand for. */
  readonly events: number;
}
const told = async (event: string): Promise<Told | undefined> => {
  const [row] = await stand.query<{ rows: number; events: number }>(
    `select count(*)::int as rows, sum(1 + coalesce((details ->> 'suppressed')::int, 0))::int as events
     from audit_log where event = $1 and subject_id is null`,
    [event],
  );
  return row;
};

test("16.3.2 who is signed in and refused a thousand times hides nothing of what others try", async () => {
  const [noisy, quiet] = [await signUp(stand), await signUp(stand)];
  await flood(1000, () => noisy.client.get("/api/v1/audit/"));
  expect((await quiet.client.get("/api/v1/audit/")).status).toBe(403);
  const refused = (by: number) =>
    stand.query("select 1 from audit_log where event = 'authz_fail' and actor_id = $1", [by]);
  await eventually("the other one's is written down", async () =>
    (await refused(quiet.id)).length > 0 ? true : undefined,
  );
  expect((await refused(noisy.id)).length).toBeLessThan(100);
});

test("an anonymous flood fills no table, hides no guess at a known account, and is counted to the last one", async () => {
  const { email, id, client } = await signUp(stand);
  const anonymous = stand.client();
  const begin = performance.now();
  await Promise.all([
    flood(3000, () => anonymous.post("/api/v1/tokens/clear/", undefined, crossSite)),
    flood(400, () => anonymous.post(login, { email: uniqueEmail("nobody"), password: "wrong" })),
  ]);
  expect((await anonymous.post(login, { email, password: "wrong" })).status).toBe(401);
  expect((await client.post(login, { email, password })).status).toBe(200);
  await eventually("the guess is written down", async () => {
    const found = await stand.query("select 1 from audit_log where event = 'authn_login_fail' and subject_id = $1", [
      id,
    ]);
    return found.length === 1 ? true : undefined;
  });
  const seconds = (performance.now() - begin) / 1000;
  expect(said(await anonymous.post("/api/v1/tokens/clear/", undefined, crossSite))[0]).toBe(403);

  await running.stop();
  // Sixty at once, one in ten seconds, and one for the rest.
  const most = 62 + seconds / 10;
  for (const [event, count] of [
    ["malicious_csrf", 3001],
    ["authn_login_fail", 400],
  ] as const) {
    const { rows, events } = (await told(event))!;
    expect([event, rows <= most, events]).toEqual([event, true, count]);
  }
}, 60_000);
