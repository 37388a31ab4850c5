import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Log } from "../../lib/log.ts";

/** A mail as the SMTP server took it. */
export interface CaughtMail {
  /** Sorts by the time of receipt. */
  id: string;
  /** ISO 8601, UTC. */
  received_at: string;
  /** Sender of the envelope. */
  from: string;
  /** Recipients of the envelope, whatever the header says. */
  to: string[];
  message_id: string | undefined;
  subject: string;
  /** Empty when the mail has no such part; the same holds for html. */
  text: string;
  html: string;
  /** By lower-case name; of a repeated header the first. */
  headers: Record<string, string>;
}

export interface MailCatcher {
  port: number;
  /** {@link readMailbox} of the same data directory. */
  list(): Promise<CaughtMail[]>;
  clear(): Promise<void>;
  stop(): Promise<void>;
}

interface Envelope {
  received_at: string;
  from: string;
  to: string[];
}

const HOST = "127.0.0.1";
const KEPT_MAILS = 500;
const MAX_MAIL_BYTES = 10 * 1024 * 1024;
/** First line of every file: ours, so nothing in a mail can pose as its envelope, and the file stays a valid .eml. */
const ENVELOPE_HEADER = "X-Caught-Envelope: ";

/**
 * A real SMTP server on loopback that delivers into `${dataDir}/mailbox/`.
 *
 * The folder is what processes share, not the server: each process that sends may have its own catcher, and any process
 * can read (see {@link readMailbox}). So nobody's mail depends on a process of somebody else.
 *
 * @param options.port default: any free one
 * @param options.credentials when given, mail is taken only after AUTH with these
 */
export async function startMailCatcher(options: {
  dataDir: string;
  port?: number;
  log: Log;
  credentials?: { user: string; password: string };
}): Promise<MailCatcher> {
  const { dataDir, port = 0, log, credentials } = options;
  // Only in development: production installs have no smtp-server.
  const { SMTPServer } = await import("smtp-server");
  await mkdir(mailboxOf(dataDir), { recursive: true });

  const server = new SMTPServer({
    disabledCommands: credentials ? ["STARTTLS"] : ["STARTTLS", "AUTH"],
    authOptional: !credentials,
    allowInsecureAuth: true,
    disableReverseLookup: true,
    size: MAX_MAIL_BYTES,
    // Its default keeps a stop waiting 30 s for a client's idle connection.
    closeTimeout: 500,
    onAuth({ username, password }, _session, done) {
      const known = username === credentials?.user && password === credentials?.password;
      if (known) done(null, { user: username });
      else done(new Error("Invalid login"));
    },
    onData(stream, { envelope }, done) {
      const from = envelope.mailFrom ? envelope.mailFrom.address : "";
      const to = envelope.rcptTo.map(({ address }) => address);
      keep(dataDir, { received_at: new Date().toISOString(), from, to }, stream).then(
        (id) => {
          log.info({ id }, "mail caught");
          done();
        },
        (error: unknown) => {
          log.error({ err: error }, "mail not caught");
          done(error instanceof RangeError ? Object.assign(error, { responseCode: 552 }) : new Error("Not stored"));
        },
      );
    },
  });
  server.on("error", (error) => log.warn({ err: error }, "mail catcher"));
  const taken = await new Promise<number>((resolve, reject) => {
    const listener = server.listen(port, HOST, () => {
      const address = listener.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
    listener.once("error", reject);
  });
  log.info({ port: taken }, "mails are caught, not sent");
  return {
    port: taken,
    list: () => readMailbox(dataDir),
    clear: () => rm(mailboxOf(dataDir), { recursive: true, force: true }),
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/**
 * Mails that any catcher of this data directory took, newest first; none if there was never one.
 * Works in any process. Of all mails the newest 500 exist.
 */
export async function readMailbox(dataDir: string, limit = 100): Promise<CaughtMail[]> {
  const ids = await idsNewestFirst(dataDir);
  const mails = await Promise.all(ids.slice(0, limit).map((id) => readMail(dataDir, id)));
  return mails.filter((mail) => mail !== undefined);
}

const mailboxOf = (dataDir: string) => join(dataDir, "mailbox");

async function idsNewestFirst(dataDir: string): Promise<string[]> {
  const names = await readdir(mailboxOf(dataDir)).catch(() => []);
  const mails = names.filter((name) => name.endsWith(".eml"));
  return mails.map((name) => name.slice(0, -".eml".length)).toSorted().toReversed(); // prettier-ignore
}

async function keep(dataDir: string, envelope: Envelope, stream: Readable & { sizeExceeded: boolean }) {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) if (Buffer.isBuffer(chunk) && !stream.sizeExceeded) chunks.push(chunk);
  if (stream.sizeExceeded) throw new RangeError(`Mails may have ${MAX_MAIL_BYTES} bytes`);

  const id = nextId();
  const file = join(mailboxOf(dataDir), `${id}.eml`);
  const firstLine = Buffer.from(`${ENVELOPE_HEADER}${JSON.stringify(envelope)}\r\n`);
  await mkdir(mailboxOf(dataDir), { recursive: true });
  // Renamed, so that no reader sees half a mail.
  await writeFile(`${file}.part`, Buffer.concat([firstLine, ...chunks]), { mode: 0o600 });
  await rename(`${file}.part`, file);

  const tooOld = (await idsNewestFirst(dataDir)).slice(KEPT_MAILS);
  await Promise.all(tooOld.map((old) => rm(join(mailboxOf(dataDir), `${old}.eml`), { force: true })));
  return id;
}

let counter = 0;

/** In order of receipt within a process, and unique between processes. */
function nextId(): string {
  counter = (counter + 1) % 1_000_000;
  const time = new Date().toISOString().replaceAll(/[-:.]/g, "");
  return `${time}-${String(counter).padStart(6, "0")}-${randomBytes(3).toString("hex")}`;
}

/** @returns nothing when the mail has been pruned in the meantime, or the file is not ours. */
async function readMail(dataDir: string, id: string): Promise<CaughtMail | undefined> {
  const { simpleParser } = await import("mailparser");
  const file = await readFile(join(mailboxOf(dataDir), `${id}.eml`)).catch(() => undefined);
  if (!file?.toString("latin1", 0, ENVELOPE_HEADER.length).startsWith(ENVELOPE_HEADER)) return undefined;
  const end = file.indexOf("\r\n");
  const envelope: unknown = JSON.parse(file.toString("utf8", ENVELOPE_HEADER.length, end));
  if (!isEnvelope(envelope)) return undefined;
  const mail = await simpleParser(file.subarray(end + 2), { skipHtmlToText: true, skipTextToHtml: true });
  const { received_at, from, to } = envelope;
  const headers = Object.fromEntries(
    mail.headerLines.toReversed().map(({ key, line }) => [
      key,
      line
        .slice(line.indexOf(":") + 1)
        .replaceAll(/\r?\n\s/g, " ")
        .trim(),
    ]),
  );
  const content = { subject: mail.subject ?? "", text: mail.text ?? "", html: mail.html || "", headers };
  return { id, received_at, from, to, message_id: mail.messageId, ...content };
}

function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== "object" || value === null) return false;
  if (!("received_at" in value) || !("from" in value) || !("to" in value)) return false;
  return typeof value.received_at === "string" && typeof value.from === "string" && Array.isArray(value.to);
}
