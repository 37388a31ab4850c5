import type { Config } from "../../lib/config.ts";
import type { KeyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import type { Database } from "../../mixins/database/database.ts";
import { failureOf, retryAfter, type Failure } from "./failures.ts";
import { linkOf } from "./mail-link.ts";
import type { MailMetrics } from "./mail-metrics.ts";
import { claimMails, markFailed, markSent, type QueuedMail } from "./mail-queue.repository.ts";
import type { Templates } from "./templates.ts";
import type { MailTransport, OutgoingMail } from "./transport.ts";

export interface MailerDeps {
  readonly config: Pick<Config, "publicUrl" | "companyName">;
  readonly db: Database;
  readonly keys: KeyRing;
  readonly templates: Templates;
  readonly transport: MailTransport;
  readonly metrics: MailMetrics;
  readonly log: Log;
}

/** The server takes no mail at all: whoever sends in a loop should wait. */
export class ServerUnavailable extends Error {
  override readonly name = "ServerUnavailable";
}

/**
 * What sends the mails that are due, a few at a time; while the server is away only one, which asks whether it is back.
 * Its answer: "more" when there may be more to send at once.
 * @throws ServerUnavailable, whatever the database throws
 */
export function mailDelivery(deps: MailerDeps): () => Promise<"more" | "done"> {
  let isAway = false;
  return async () => {
    // As many as there are connections: a claimed mail must not wait for one while its lease runs.
    const limit = isAway ? 1 : deps.transport.connections;
    const mails = await claimMails(deps.db, limit);
    const outcomes = await Promise.allSettled(mails.map((mail) => deliver(deps, mail)));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    isAway = failures.some((failure) => failure instanceof ServerUnavailable);
    if (failures.length > 0) throw failures[0];
    return mails.length === limit ? "more" : "done";
  };
}

async function deliver(deps: MailerDeps, mail: QueuedMail): Promise<void> {
  const { db, log, metrics } = deps;
  const began = performance.now();
  const failure = await attempt(deps, mail);
  metrics.attempts.add(1, failure?.outcome ?? "sent");
  if (failure) {
    await notSent(deps, mail, failure);
    return;
  }
  metrics.latency.observe(mail.ageSeconds + (performance.now() - began) / 1000);
  await markSent(db, mail);
  log.info({ mail_id: mail.id, kind: mail.kind, user_id: mail.userId }, "a mail was sent");
}

async function attempt(deps: MailerDeps, mail: QueuedMail): Promise<Failure | undefined> {
  if (!mail.isCurrent) return { outcome: "superseded", code: "superseded" };
  let made: OutgoingMail;
  try {
    made = makeMail(deps, mail);
  } catch (error) {
    return { outcome: "unmade", code: `unmade ${error instanceof Error ? error.name : ""}`.trim() };
  }
  try {
    await deps.transport.send(made);
    return undefined;
  } catch (error) {
    return failureOf(error);
  }
}

function makeMail({ config, keys, templates }: MailerDeps, mail: QueuedMail): OutgoingMail {
  const link = linkOf(config.publicUrl, keys, mail);
  const facts = { companyName: config.companyName, firstName: mail.data.first_name, link };
  const rendered = templates.render(mail.kind, mail.data.role, facts);
  const host = new URL(config.publicUrl).hostname;
  return { to: mail.address, messageId: `${mail.id}@${host}`, ...rendered };
}

async function notSent({ db, log }: MailerDeps, mail: QueuedMail, failure: Failure): Promise<void> {
  const retry = retryAfter(failure, mail);
  const { id: mail_id, kind, attempts } = mail;
  const { outcome, code: reason } = failure;
  const fields = { mail_id, kind, attempts, outcome, reason };
  if (outcome === "superseded") log.info(fields, "a mail is not sent: what it says is no longer so");
  else if (retry === undefined) log.error(fields, "a mail was given up");
  else log.warn({ ...fields, retry_s: Math.ceil(retry) }, "a mail was not sent and will be tried again");
  await markFailed(db, mail, failure, retry);
  if (outcome === "unavailable") throw new ServerUnavailable(`the SMTP server takes no mail: ${reason}`);
}
