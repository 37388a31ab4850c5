import type { Config } from "../../lib/config.ts";
import type { KeyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import { mintOneTimeToken, type OneTimePurpose } from "../../lib/one-time-token.ts";
import { encodeUserId } from "../../lib/user-reference.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";
import { claimMails, markFailed, markSent, type QueuedMail } from "./mail-queue.repository.ts";
import type { Templates } from "./templates.ts";
import type { MailTransport } from "./transport.ts";

export interface MailerDeps {
  readonly config: Pick<Config, "publicUrl" | "companyName">;
  readonly db: Database;
  readonly keys: KeyRing;
  readonly templates: Templates;
  readonly transport: MailTransport;
  readonly log: Log;
}

/** As many as the transport has connections: a claimed mail must not wait for one while its lease runs. */
const batch = 2;
const firstRetrySeconds = 5;
const maxRetrySeconds = 15 * 60;

/** Sends what is due. @returns "more" when there may be more to send at once */
export async function deliverMails(deps: MailerDeps): Promise<"more" | "done"> {
  const mails = await claimMails(deps.db, batch);
  const outcomes = await Promise.allSettled(mails.map((mail) => deliver(deps, mail)));
  const failure = outcomes.find((outcome) => outcome.status === "rejected");
  if (failure) throw failure.reason;
  return mails.length === batch ? "more" : "done";
}

async function deliver({ config, db, keys, templates, transport, log }: MailerDeps, mail: QueuedMail): Promise<void> {
  try {
    const link = linkOf(config.publicUrl, keys, mail);
    const { subject, text, html } = templates.render(mail.kind, mail.data.role, {
      companyName: config.companyName,
      firstName: mail.data.first_name,
      link,
    });
    const host = new URL(config.publicUrl).hostname;
    await transport.send({ to: mail.address, messageId: `${mail.id}@${host}`, subject, text, html });
  } catch (error) {
    const retry = isPermanent(error)
      ? undefined
      : Math.min(maxRetrySeconds, firstRetrySeconds * 2 ** (mail.attempts - 1));
    // The server's code alone: its sentence may repeat the address.
    const reason = reasonOf(error);
    log.warn(
      { mail_id: mail.id, kind: mail.kind, attempts: mail.attempts, reason, retry_s: retry },
      "a mail was not sent",
    );
    await markFailed(db, mail, reason, retry);
    return;
  }
  await markSent(db, mail);
  log.info({ mail_id: mail.id, kind: mail.kind, user_id: mail.userId }, "a mail was sent");
}

/** Which link a mail carries, and for which purpose its token is made. */
const links: Partial<Readonly<Record<MailKind, { path: string; purpose: OneTimePurpose }>>> = {
  "verify-email": { path: "verify", purpose: "verify-email" },
  "confirm-email": { path: "confirm-email", purpose: "confirm-email" },
  "email-change-notice": { path: "undo-email", purpose: "undo-email" },
  "reset-password": { path: "reset-password", purpose: "reset-password" },
};

type Linked = Pick<QueuedMail, "kind" | "userId" | "oneTimeTokenId">;

/** Made anew at every attempt: it lies nowhere in between. A mail without a token gets the public URL alone. */
export function linkOf(publicUrl: string, keys: KeyRing, { kind, userId, oneTimeTokenId }: Linked): string {
  const link = links[kind];
  if (!link || oneTimeTokenId === null) return publicUrl;
  const token = mintOneTimeToken(keys, link.purpose, oneTimeTokenId);
  return `${publicUrl}/api/v1/users/${encodeUserId(userId)}/${link.path}/${token}/`;
}

/**
 * RFC 5321, 4.2.1: 5yz will not get better by itself. But only where the server refused this recipient or this content: a
 * greeting, a login or a demand for TLS is the operator's to mend, and the mail is tried again.
 */
const isPermanent = (error: unknown): boolean => {
  const { responseCode = 0, command = "" } = error as { responseCode?: number; command?: string };
  return responseCode >= 500 && (command === "RCPT TO" || command === "DATA");
};

const reasonOf = (error: unknown): string => {
  const { code, responseCode, name } = error as { code?: string; responseCode?: number; name?: string };
  return [code ?? name, responseCode].filter((part) => part !== undefined).join(" ");
};
