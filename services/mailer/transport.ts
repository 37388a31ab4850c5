import nodemailer from "nodemailer";
import type { MailConfig } from "../../lib/config.ts";

export interface OutgoingMail {
  /** One address as stored, checked by lib/email-address.ts. */
  readonly to: string;
  /** Without angle brackets; the same at every attempt, so that a mail delivered twice can be recognised. */
  readonly messageId: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface MailTransport {
  /** How many mails can be under way at once. */
  readonly connections: number;
  /** Resolves when the SMTP server has taken the mail; rejects otherwise, within 45 s. */
  send(mail: OutgoingMail): Promise<void>;
  /** Whether the server lets us in. */
  verify(): Promise<boolean>;
  /** What is under way fails. */
  close(): void;
}

const maxConnections = 4;
const timeoutMs = 10_000;
/** The timeouts above count silence; a server that says a little now and then is given up all the same. */
const sendLimitMs = 45_000;

/** The only file that imports nodemailer. */
export function createTransport(mail: MailConfig, companyName: string): MailTransport {
  const connections = Math.min(maxConnections, mail.rateLimit);
  const closing = new AbortController();
  const smtp = nodemailer.createTransport({
    pool: true,
    maxConnections: connections,
    rateLimit: mail.rateLimit,
    rateDelta: 1000,
    // Only for a connection that the server had closed while it was idle. Its default sends up to six times by itself.
    maxRequeues: 1,
    host: mail.host,
    port: mail.port,
    secure: mail.ssl,
    requireTLS: mail.requireTls,
    ...(mail.ca !== undefined && { tls: { ca: mail.ca } }),
    ...(mail.user !== undefined && { auth: { user: mail.user, pass: mail.password ?? "" } }),
    // The defaults reach ten minutes.
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    connections,
    send: async ({ to, messageId, subject, text, html }) => {
      await smtp.sendMail({
        from: { name: companyName, address: mail.from },
        // Objects and an explicit envelope: nodemailer parses a string and may find a second recipient in it.
        to: { name: "", address: to },
        envelope: { from: mail.from, to: [{ name: "", address: to }] },
        messageId: `<${messageId}>`,
        subject,
        text,
        html,
        signal: AbortSignal.any([closing.signal, AbortSignal.timeout(sendLimitMs)]),
      });
    },
    verify: async () => {
      try {
        return await smtp.verify();
      } catch {
        return false;
      }
    },
    close: () => {
      closing.abort();
      smtp.close();
    },
  };
}
