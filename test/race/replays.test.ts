import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { patiently, signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { startService, type TestService } from "../support/service.ts";
import { startSmtpSink, type SmtpSink } from "../support/smtp-sink.ts";

let service: TestService;
let smtp: SmtpSink;
let moderator: Person;
beforeAll(async () => {
  smtp = await startSmtpSink();
  service = await startService({ EMAIL_PORT: String(smtp.port) });
  moderator = await signUp(service, "MO");
});
afterAll(async () => {
  await service.stop();
  await smtp.stop();
});

const own = "/api/v1/users/current/";
const eventsOf = async ({ id }: Person): Promise<string[]> => {
  const rows = await service.query<{ type: string }>("select type from outbox where user_id = $1 order by version", [
    id,
  ]);
  return rows.map(({ type }) => type);
};

/** A double click, or a client that lost the answer: the request as it was, all at once. */
const sixteen = (by: Person, method: string, path: string, body?: unknown) =>
  Promise.all(Array.from({ length: 16 }, () => patiently(() => by.client.request(method, path, { body }))));

describe("17 the same change 16 times at once: 16 equal answers, one event", () => {
  test("of the own profile", async () => {
    const person = await signUp(service);
    const answers = await sixteen(person, "PATCH", own, { user_profile: { first_name: "Maria" } });
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(200);
    expect(await eventsOf(person)).toEqual(["user.registered", "user.profile_updated"]);
  });

  test.each([
    ["the role", { role: "CO" }, ["user.role_changed"]],
    ["the address", () => ({ email: uniqueEmail("moved") }), ["user.email_changed"]],
    ["the mark of the address", { is_email_verified: true }, ["user.email_verified"]],
    ["deactivation", { is_active: false }, ["user.deactivated"]],
    [
      "all at once",
      () => ({ role: "RM", email: uniqueEmail(), is_active: false }),
      ["user.email_changed", "user.role_changed", "user.deactivated"],
    ],
  ] as [string, object | (() => object), string[]][])("by a moderator: %s", async (_, change, types) => {
    const person = await signUp(service);
    const body: unknown = typeof change === "function" ? (change as () => object)() : change;
    const answers = await sixteen(moderator, "PATCH", `/api/v1/users/${person.id}/`, body);
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers[0]?.status).toBe(200);
    expect(await eventsOf(person)).toEqual(["user.registered", ...types]);
  });
});

describe("17 a request that makes a mail, while the SMTP server is away", () => {
  const takenFor = (address: string, kind: string) =>
    smtp.takenFor(address).filter(({ raw }) => raw.includes(`/${kind}/`));

  test.each([
    ["the verification link", "verify", (person: Person) => sixteen(person, "GET", `${own}send-activation/`)],
    [
      "a link for a new password",
      "reset-password",
      (person: Person) => sixteen(person, "POST", "/api/v1/users/password-reset/", { email: person.email }),
    ],
    [
      "another address",
      "undo-email",
      (person: Person) => sixteen(person, "PATCH", own, { email: uniqueEmail("new"), current_password: password }),
    ],
  ])(
    "16 times %s: one mail arrives, with the link that works",
    async (_, kind, ask) => {
      smtp.follow((step) => (step === "CONNECT" || step === "MAIL" ? "421 away" : undefined));
      const person = await signUp(service);
      const answers = await ask(person);
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
      await eventually("they are followed up", async () =>
        (await service.query("select 1 from password_reset_requests")).length === 0 ? true : undefined,
      );
      smtp.follow(() => undefined);
      await eventually("each mail is sent or dropped", async () => {
      const hurry = "update mails set next_attempt_at = now() where status = 'queued' returning 1";
      return (await service.query(hurry)).length === 0 ? true : undefined;
    }, 30_000); // prettier-ignore
      expect(takenFor(person.email, kind)).toHaveLength(1);
    },
    60_000,
  );
});
