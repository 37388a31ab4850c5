import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { readOneTimeToken, type OneTimePurpose } from "../../../../lib/one-time-token.ts";
import type { MailKind } from "../../../../mixins/accounts/mails.repository.ts";
import type { Database } from "../../../../mixins/database/database.ts";
import { createMetrics } from "../../../../mixins/metrics/metrics.ts";
import { mailDelivery, ServerUnavailable } from "../../../../services/mailer/deliver.ts";
import { measureMails } from "../../../../services/mailer/mail-metrics.ts";
import type { QueuedMail } from "../../../../services/mailer/mail-queue.repository.ts";
import { loadTemplates } from "../../../../services/mailer/templates.ts";
import type { OutgoingMail } from "../../../../services/mailer/transport.ts";
import { memoryLog, rejection, secrets } from "../../helpers.ts";

const keys = keyRing(secrets, "one-time-token");
const tokenId = "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c";
const mail = (changes: Partial<QueuedMail> = {}): QueuedMail => ({
  id: "m1",
  userId: 42,
  kind: "verify-email",
  address: "Anna@example.com",
  data: { role: "CU", first_name: "Anna" },
  oneTimeTokenId: tokenId,
  attempts: 1,
  deferrals: 0,
  ageSeconds: 1,
  isCurrent: true,
  ...changes,
});
const config = { publicUrl: "https://id.example.com", companyName: "Eat Express" };

/** Delivers queued mails over a server that answers as told; the statements that followed, without their text. */
async function deliver(mails: QueuedMail[], send: (mail: OutgoingMail) => Promise<void> = () => Promise.resolve()) {
  const sent: OutgoingMail[] = [];
  const marks: [string, ...unknown[]][] = [];
  const limits: unknown[] = [];
  const log = memoryLog();
  const db = {
    query: (text: string, values: unknown[]) => {
      if (text.includes("insert into mail_attempts")) {
        limits.push(values[0]);
        return Promise.resolve(mails.slice(0, Number(values[0])));
      }
      marks.push([text.includes("set status = 'sent'") ? "sent" : "failed", ...values]);
      return Promise.resolve([]);
    },
  } as unknown as Database;
  const transport = {
    connections: 2,
    send: (outgoing: OutgoingMail) => {
      sent.push(outgoing);
      return send(outgoing);
    },
    verify: () => Promise.resolve(true),
    close: () => undefined,
  };
  const registry = createMetrics(log);
  const metrics = measureMails(registry, db);
  const deliverMails = mailDelivery({ config, db, keys, templates: loadTemplates(), transport, metrics, log });
  const result = await deliverMails().catch((error: unknown) => error);
  return { result, sent, marks, log, limits, deliverMails, counted: () => registry.text() };
}
const smtpError = (code: string, responseCode?: number, command = "RCPT TO") =>
  Object.assign(new Error("secret words of Anna@example.com"), {
    code,
    ...(responseCode !== undefined && { responseCode, command }),
  });
const failing = (error: Error, attempts = 1) =>
  deliver([mail({ attempts })], async () => {
    await Promise.resolve();
    throw error;
  });

describe("deliverMails: what is sent", () => {
  test("goes to the stored address alone, recognisable at every attempt", async () => {
    const { sent, marks } = await deliver([mail()]);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ to: "Anna@example.com", messageId: "m1@id.example.com" });
    expect(marks).toEqual([["sent", "m1", 1]]);
  });

  test.each<[MailKind, string, OneTimePurpose]>([
    ["verify-email", "verify", "verify-email"],
    ["confirm-email", "confirm-email", "confirm-email"],
    ["email-change-notice", "undo-email", "undo-email"],
    ["reset-password", "reset-password", "reset-password"],
  ])("%s: a link of PUBLIC_URL with a token for its own purpose", async (kind, path, purpose) => {
    const { sent } = await deliver([mail({ kind })]);
    const link = new RegExp(`https://id\\.example\\.com/api/v1/users/NDI/${path}/([A-Za-z0-9_-]{64})/`).exec(
      sent[0]!.text,
    );
    expect(readOneTimeToken(keys, purpose, link?.[1] ?? "")).toBe(tokenId);
  });

  test.each<[MailKind, string[]]>([
    ["welcome-moderator", []],
    ["session-reuse", []],
    ["email-moved", []],
    ["password-changed", ["https://id.example.com"]],
  ])("%s has no link into an account: %j", async (kind, links) => {
    const data = { role: "MO", first_name: "Anna" } as const;
    const { sent } = await deliver([mail({ kind, data, oneTimeTokenId: null })]);
    expect(sent[0]!.text.match(/https?:\S+/g) ?? []).toEqual(links);
    expect(sent[0]!.html).not.toContain("/users/");
  });

  test("neither address, name nor token are logged", async () => {
    const { log, sent } = await deliver([mail()]);
    const token = /verify\/([^/]+)/.exec(sent[0]!.text)?.[1] ?? "?";
    expect(log.lines).toEqual([
      { level: "info", fields: { mail_id: "m1", kind: "verify-email", user_id: 42 }, message: "a mail was sent" },
    ]);
    expect(log.text()).not.toMatch(new RegExp(`Anna|${token}`));
  });
});

describe("deliverMails: what is not sent", () => {
  test("what the server refuses for ever is given up, and told to the operator", async () => {
    const { marks, log, result } = await failing(smtpError("EENVELOPE", 550));
    expect(marks).toEqual([["failed", "m1", 1, "refused", "EENVELOPE 550", undefined]]);
    expect(log.lines).toEqual([
      expect.objectContaining({ level: "error", fields: expect.objectContaining({ reason: "EENVELOPE 550" }) }),
    ]);
    expect(result).toBe("done");
  });

  test("what the server wants later is tried again, and holds nobody else up", async () => {
    const { marks, result } = await failing(smtpError("EENVELOPE", 451));
    expect(marks).toEqual([["failed", "m1", 1, "deferred", "EENVELOPE 451", expect.any(Number)]]);
    expect(result).toBe("done");
  });

  test("a server that takes nothing: the mail is tried again, and the loop learns of it", async () => {
    const { marks, result } = await failing(smtpError("EAUTH", 535, "AUTH PLAIN"));
    expect(marks).toEqual([["failed", "m1", 1, "unavailable", "EAUTH 535", expect.any(Number)]]);
    expect(result).toBeInstanceOf(ServerUnavailable);
    expect(String(result)).toContain("EAUTH 535");
    expect(String(result)).not.toMatch(/secret words|Anna/);
  });

  test("after that one mail at a time, until one gets through", async () => {
    let isAway = true;
    const { deliverMails, limits } = await deliver([mail(), mail({ id: "m2" }), mail({ id: "m3" })], () =>
      isAway ? Promise.reject(smtpError("ESOCKET", undefined, "CONN")) : Promise.resolve(),
    );
    await expect(deliverMails()).rejects.toBeInstanceOf(ServerUnavailable);
    isAway = false;
    expect([await deliverMails(), await deliverMails()]).toEqual(["more", "more"]);
    expect(limits).toEqual([2, 1, 1, 2]);
  });

  test("what is no longer so goes to nobody", async () => {
    const { sent, marks, log } = await deliver([mail({ isCurrent: false })]);
    expect([sent, marks]).toEqual([[], [["failed", "m1", 1, "superseded", "superseded", undefined]]]);
    expect(log.lines).toEqual([expect.objectContaining({ level: "info" })]);
  });

  test("the server's sentence is kept neither in the log nor in the database: it may repeat the address", async () => {
    const { log, marks } = await failing(smtpError("EENVELOPE", 550));
    expect(JSON.stringify([log.lines, marks])).not.toMatch(/secret words|Anna/);
  });

  test("a mail that cannot be made is given up, and the others go on", async () => {
    const { marks, sent } = await deliver([mail({ kind: "welcome-moderator" }), mail({ id: "m2" })]);
    expect(sent.map(({ messageId }) => messageId)).toEqual(["m2@id.example.com"]);
    expect(marks).toEqual(
      expect.arrayContaining([
        ["sent", "m2", 1],
        ["failed", "m1", 1, "unmade", "unmade Error", undefined],
      ]),
    );
  });
});

describe("deliverMails: what is counted", () => {
  test("each attempt by what it came to, and how long a mail that was sent had waited", async () => {
    const { deliverMails, counted } = await deliver([mail({ ageSeconds: 20 })]);
    await deliverMails();
    const text = await counted();
    expect(text).toContain('identity_mails_attempts_total{outcome="sent"} 2');
    expect(text).toContain('identity_mails_send_seconds_bucket{le="10"} 0');
    expect(text).toContain('identity_mails_send_seconds_bucket{le="30"} 2');
    const refused = await (await failing(smtpError("EENVELOPE", 550))).counted();
    expect(refused).toContain('identity_mails_attempts_total{outcome="refused"} 1');
    expect(refused).toContain("identity_mails_send_seconds_count 0");
  });
});

describe("deliverMails: a batch", () => {
  test.each([
    [0, "done"],
    [1, "done"],
    [2, "more"],
  ])("of %d mails says that there is %s", async (count, result) => {
    const mails = Array.from({ length: count }, (_, number) => mail({ id: `m${number}` }));
    expect((await deliver(mails)).result).toBe(result);
  });

  test("one that fails does not hold the others", async () => {
    const { marks } = await deliver([mail({ id: "bad" }), mail({ id: "good" })], ({ messageId }) =>
      messageId.startsWith("bad") ? Promise.reject(smtpError("ESOCKET", undefined, "CONN")) : Promise.resolve(),
    );
    expect(marks.map(([mark, id]) => `${String(id)} ${mark}`).sort()).toEqual(["bad failed", "good sent"]);
  });

  test("when it cannot be written down that a mail was sent, the loop learns of it", async () => {
    const db = {
      query: (text: string) =>
        text.includes("insert into mail_attempts") ? Promise.resolve([mail()]) : Promise.reject(new Error("away")),
    } as unknown as Database;
    const nothing = () => undefined;
    const metrics = measureMails(createMetrics(memoryLog()), db);
    const transport = {
      connections: 2,
      send: () => Promise.resolve(),
      verify: () => Promise.resolve(true),
      close: nothing,
    };
    const deps = { config, db, keys, templates: loadTemplates(), transport, metrics, log: memoryLog() };
    expect(await rejection(mailDelivery(deps)())).toEqual(new Error("away"));
  });
});
