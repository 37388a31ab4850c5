import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { bearer, said, signUp, type Person } from "../contract/accounts.ts";
import { Client, type Answer } from "../support/client.ts";
import { startNodes, type TestNode } from "../support/nodes.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** SECURITY.md, 72: somebody who can moderate is always left. Two nodes on one database, so that no memory helps. */
let stand: TestStand;
let nodes: TestNode[];
beforeAll(async () => {
  stand = await createStand();
  nodes = await startNodes(2, stand.env);
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await stand.stop();
});
beforeEach(() => stand.query("update users set role = 'CU' where role = 'MO'"));

const url = () => nodes[0]?.url ?? "";
const moderator = () => signUp({ ...stand, url: url(), client: () => new Client(url()) }, "MO");
/** What he does to an account, on one of the nodes. */
const change = (by: Person, whom: Person, body: unknown, on = 0, method = "PATCH"): Promise<Answer> =>
  new Client(nodes[on]?.url ?? "").request(method, `/api/v1/users/${whom.id}/`, { body, ...bearer(by.token) });
const left = async () => {
  const rows = await stand.query("select id from users where role = 'MO' and is_active and is_email_verified");
  return rows.length;
};
const lastOne = [409, { detail: expect.any(String), code: "last_moderator" }];
const profile = registration().user_profile;
const resignations = {
  "takes another role": { role: "CU" },
  "deactivates himself": { is_active: false },
  "takes his verified mark away": { is_email_verified: false },
  "does all at once": { role: "RM", is_active: false, is_email_verified: false },
};

describe("72 the last moderator", () => {
  test.each(Object.entries(resignations))("%s: refused by PATCH and PUT, and he goes on", async (_, body) => {
    const last = await moderator();
    // These are none: whoever is not active or not verified cannot moderate.
    for (const column of ["is_active", "is_email_verified"]) {
      await stand.query(`update users set ${column} = false where id = $1`, [(await moderator()).id]);
    }
    expect(said(await change(last, last, body))).toEqual(lastOne);
    const whole = { email: last.email, user_profile: profile, ...body };
    expect(said(await change(last, last, whole, 1, "PUT"))).toEqual(lastOne);
    expect(await left()).toBe(1);
    expect((await change(last, last, { user_profile: { first_name: "Ewa" } })).status).toBe(200);
  });

  test.each(Object.entries(resignations))("%s, and so does the other one at once, on another node", async (_, body) => {
    for (let round = 0; round < 5; round++) {
      const two = [await moderator(), await moderator()];
      const answers = await Promise.all(two.map((one, on) => change(one, one, body, on)));
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
      expect(await left()).toBe(1);
      await stand.query("update users set role = 'CU' where role = 'MO'");
    }
  });

  test("each puts the other one out at once, on another node: one of them is left", async () => {
    for (let round = 0; round < 5; round++) {
      const [one, other] = [await moderator(), await moderator()];
      const body = Object.values(resignations)[round % 4];
      const answers = await Promise.all([change(one, other, body, 0), change(other, one, body, 1)]);
      // Whoever comes second is no moderator any more, or would put the last one out.
      const statuses = answers.map(({ status }) => status).toSorted();
      expect([statuses[0], [401, 403, 409].includes(statuses[1] ?? 0)]).toEqual([200, true]);
      expect(await left()).toBe(1);
      await stand.query("update users set role = 'CU' where role = 'MO'");
    }
  });

  test("asks for another address: he still moderates", async () => {
    const last = await moderator();
    const to = uniqueEmail("moved");
    const own = { body: { email: to, current_password: password }, ...bearer(last.token) };
    expect((await new Client(url()).request("PATCH", "/api/v1/users/current/", own)).status).toBe(200);
    expect(await left()).toBe(1);
  });
});
