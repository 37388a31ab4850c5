import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { said, setCookiesOf } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const json = { headers: { accept: "application/json" } };
/** One address as sixteen people might type it. */
const spellings = (name: string): string[] => {
  const domains = [
    "bücher.example",
    "BÜCHER.example",
    "bu\u0308cher.example",
    "xn--bcher-kva.example",
    "XN--BCHER-KVA.EXAMPLE",
  ];
  const plain = [...domains, "bücher.example.", "ｂücher.example", "Bücher.Example"];
  return [
    ...plain.map((domain) => `${name}@${domain}`),
    ...plain.map((domain) => ` ${name.toUpperCase()}@${domain}\t`),
  ];
};

describe("16 registrations of one address at once", () => {
  test.each([
    ["spelled in 16 ways", (name: string) => spellings(name)],
    ["spelled in one way", (name: string) => Array.from({ length: 16 }, () => `${name}@example.com`)],
  ])("%s: one account, one event, one mail; the others are told, and nobody gets a 500", async (_, spelled) => {
    const emails = spelled(uniqueEmail().split("@")[0] ?? "");
    expect(emails).toHaveLength(16);
    const paths = ["customers", "couriers", "managers"];
    const answers = await Promise.all(
      emails.map((email, index) =>
        service.client().post(`/api/v1/users/${paths[index % 3] ?? ""}/`, registration({ email })),
      ),
    );
    const winners = answers.filter(({ status }) => status === 201);
    expect([winners.length, answers.map(({ status }) => status)]).toEqual([1, expect.any(Array)]);
    for (const answer of answers.filter((one) => one !== winners[0])) {
      expect(said(answer)).toEqual([400, { email: ["user with this email already exists."] }]);
      expect(setCookiesOf(answer)).toEqual([]);
    }

    const { id } = winners[0]!.json();
    const same = "email_canonical = (select email_canonical from users where id = $1)";
    expect(await service.query(`select id::int from users where ${same}`, [id])).toEqual([{ id }]);
    expect(await service.query("select type, version from outbox where user_id = $1", [id])).toEqual([
      { type: "user.registered", version: 1 },
    ]);
    await eventually("the mail was sent", async () => {
      const [mail] = await service.query<{ status: string }>("select status from mails where user_id = $1", [id]);
      return mail?.status === "sent" ? true : undefined;
    });
    expect(await service.query("select 1 from mails where user_id = $1", [id])).toHaveLength(1);
    // The SMTP server may have written the domain in its own way.
    const name = emails[0]!.trim().split("@")[0]!.toLowerCase();
    const recipients = (await service.mails())
      .flatMap(({ to }) => to)
      .filter((to) => to.toLowerCase().startsWith(name));
    expect(recipients).toHaveLength(1);
    expect(await service.query("select 1 from sessions where user_id = $1", [id])).toHaveLength(1);
  });

  test("the losers leave nothing behind", async () => {
    const orphans = await service.query(
      `select 1 from outbox o where not exists (select 1 from users u where u.id = o.user_id)
       union all select 1 from mails m where not exists (select 1 from users u where u.id = m.user_id)`,
    );
    expect(orphans).toEqual([]);
  });
});

describe("16 users of one verification link at once", () => {
  test.each([
    ["asking for JSON", "GET"],
    ["posting the page's form", "POST"],
  ])("%s: one winner, one event", async (_, method) => {
    const body = registration();
    const client = service.client();
    const { id } = (await client.post("/api/v1/users/customers/", body)).json();
    const link = linkIn(await service.mailTo(body.email));
    const answers = await Promise.all(Array.from({ length: 16 }, () => client.request(method, link, json)));
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([200, ...Array.from({ length: 15 }, () => 400)]);
    const events = await service.query("select type, version from outbox where user_id = $1 order by version", [id]);
    expect(events).toEqual([
      { type: "user.registered", version: 1 },
      { type: "user.email_verified", version: 2 },
    ]);
  });

  test("verifying and disowning the same registration: one of both, never half of each", async () => {
    const body = registration();
    const client = service.client();
    const { id } = (await client.post("/api/v1/users/customers/", body)).json();
    const link = linkIn(await service.mailTo(body.email));
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const disown = (n: number) => ({ raw: `new_password=a+password+of+my+own+${n}`, headers });
    const answers = await Promise.all([
      ...Array.from({ length: 8 }, () => service.client().get(link, json)),
      ...Array.from({ length: 8 }, (__, n) => service.client().request("POST", link, disown(n))),
    ]);
    const won = answers.findIndex(({ status }) => status === 200);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const alive = (await client.get("/api/v1/users/current/")).status;
    const types = await service.query<{ type: string }>("select type from outbox where user_id = $1 order by version", [
      id,
    ]);
    const changed = won >= 8 ? ["user.password_changed"] : [];
    expect(types.map(({ type }) => type)).toEqual(["user.registered", "user.email_verified", ...changed]);
    expect(alive).toBe(won >= 8 ? 401 : 200);
  });
});
