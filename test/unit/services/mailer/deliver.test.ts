import { describe, expect, test } from "@jest/globals";
import { keyRing } from "../../../../lib/keys.ts";
import { readOneTimeToken, type OneTimePurpose } from "../../../../lib/one-time-token.ts";
import type { MailKind } from "../../../../mixins/accounts/mails.repository.ts";
import type { Database } from "../../../../mixins/database/database.ts";
import { deliverMails } from "../../../../services/mailer/deliver.ts";
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
  ...changes,
});

/** Delivers queued mails over a server that answers as told; the statements that followed, without their text. */
async function deliver(mails: QueuedMail[], send: (mail: OutgoingMail) => Promise<void> = () => Promise.resolve()) {
  const sent: OutgoingMail[] = [];
  const marks: [string, ...unknown[]][] = [];
  const log = memoryLog();
  const db = {
    query: (text: string, values: unknown[]) => {
      if (text.includes("returning")) return Promise.resolve(mails);
      marks.push([text.includes("set status = 'sent'") ? "sent" : "failed", ...values]);
      return Promise.resolve([]);
    },
  } as unknown as Database;
  const transport = {
    send: (outgoing: OutgoingMail) => {
      sent.push(outgoing);
      return send(outgoing);
    },
    verify: () => Promise.resolve(true),
    close: () => undefined,
  };
  const config = { publicUrl: "https://id.example.com", companyName: "Eat Express" };
  const result = await deliverMails({ config, db, keys, templates: loadTemplates(), transport, log });
  return { result, sent, marks, log };
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

describe("deliverMails: which failures are for ever", () => {
  test.each([
    ["an unknown mailbox", smtpError("EENVELOPE", 550), "EENVELOPE 550"],
    ["a refused message", smtpError("EMESSAGE", 554, "DATA"), "EMESSAGE 554"],
    ["the lowest of them", smtpError("EENVELOPE", 500), "EENVELOPE 500"],
  ])("%s is given up at once", async (_, error, reason) => {
    expect((await failing(error)).marks).toEqual([["failed", "m1", 1, reason, undefined]]);
  });

  test.each([
    ["no connection", smtpError("ECONNREFUSED"), "ECONNREFUSED"],
    ["a time-out", smtpError("ETIMEDOUT"), "ETIMEDOUT"],
    ["a name that is not found", smtpError("EDNS"), "EDNS"],
    ["grey-listing", smtpError("EENVELOPE", 451), "EENVELOPE 451"],
    ["a full mailbox", smtpError("EENVELOPE", 452), "EENVELOPE 452"],
    ["our login refused: the operator's to mend", smtpError("EAUTH", 535, "AUTH PLAIN"), "EAUTH 535"],
    ["a greeting that turns us away", smtpError("EPROTOCOL", 554, "CONN"), "EPROTOCOL 554"],
    ["a server that wants TLS first", smtpError("EENVELOPE", 530, "MAIL FROM"), "EENVELOPE 530"],
    ["an error without a code", new TypeError("x is not a function"), "TypeError"],
  ])("%s is tried again", async (_, error, reason) => {
    expect((await failing(error)).marks).toEqual([["failed", "m1", 1, reason, expect.any(Number)]]);
  });

  test("the first pause is `firstRetrySeconds`, each is twice the one before, the longest is a quarter of an hour", async () => {
    const pauses = await Promise.all(
      [1, 2, 3, 4, 8, 9, 50].map(async (attempts) => (await failing(smtpError("ETIMEDOUT"), attempts)).marks[0]?.[4]),
    );
    expect(pauses).toEqual([5, 10, 20, 40, 640, 900, 900]);
  });

  test("the server's sentence is kept neither in the log nor in the database: it may repeat the address", async () => {
    const { log, marks } = await failing(smtpError("EENVELOPE", 550));
    expect(JSON.stringify([log.lines, marks])).not.toMatch(/secret words|Anna/);
    expect(log.lines[0]).toMatchObject({ level: "warn", fields: { reason: "EENVELOPE 550", attempts: 1 } });
  });

  test("a mail that cannot be made is a failure of that mail", async () => {
    const { marks, sent } = await deliver([mail({ kind: "welcome-moderator" }), mail({ id: "m2" })]);
    expect(sent.map(({ messageId }) => messageId)).toEqual(["m2@id.example.com"]);
    expect(marks.map(([mark, id]) => [id, mark])).toEqual(
      expect.arrayContaining([
        ["m2", "sent"],
        ["m1", "failed"],
      ]),
    );
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
      messageId.startsWith("bad") ? Promise.reject(smtpError("EENVELOPE", 550)) : Promise.resolve(),
    );
    expect(marks.map(([mark, id]) => `${String(id)} ${mark}`).sort()).toEqual(["bad failed", "good sent"]);
  });

  test("when it cannot be written down that a mail was sent, the loop learns of it", async () => {
    const db = {
      query: (text: string) =>
        text.includes("returning") ? Promise.resolve([mail()]) : Promise.reject(new Error("away")),
    } as unknown as Database;
    const transport = { send: () => Promise.resolve(), verify: () => Promise.resolve(true), close: () => undefined };
    const config = { publicUrl: "https://id.example.com", companyName: "Eat Express" };
    const deps = { config, db, keys, templates: loadTemplates(), transport, log: memoryLog() };
    expect(await rejection(deliverMails(deps))).toEqual(new Error("away"));
  });
});
