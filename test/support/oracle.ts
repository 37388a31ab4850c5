import { eventually } from "./eventually.ts";
import { contractTopics, type Message, type Queried, type TopicWatch } from "./topic-watch.ts";

export * from "./topic-watch.ts";

type Role = "CU" | "CO" | "RM" | "MO";

/** From the contract (section 3) and not from the product, which is measured against it. */
const createdTopics: Readonly<Record<Role, readonly string[]>> = {
  CU: ["user_order", "user_review"],
  CO: ["user_order", "user_review"],
  RM: ["user_restaurant", "user_menu", "user_order"],
  MO: ["user_restaurant", "user_order"],
};

/** A registration that was answered with success, and what was answered with success since: the client's journal. */
export interface Acknowledged {
  readonly id: number;
  readonly email: string;
  /** In the order of the answers; each was asked for after the answer before. */
  readonly changes?: readonly AcknowledgedChange[];
}

export interface AcknowledgedChange {
  /** As `user_events` calls it. */
  readonly type: string;
  /** The part of its data by which it can be told from others of its type. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** As an SMTP server took it. */
export interface SunkMail {
  readonly messageId: string | undefined;
  readonly to: readonly string[];
}

/** `whole`: half of something is there, or the state is not what the events say. */
type Promised = "lost" | "invented" | "outOfOrder" | "whole";

export interface Audit {
  /** Registrations and changes that clients were told have happened. */
  readonly acknowledged: number;
  /** Events of committed changes, each once. */
  readonly events: number;
  readonly lost: number;
  readonly invented: number;
  readonly outOfOrder: number;
  readonly whole: number;
  /** Messages beyond the first of their id in their topic. Allowed: delivery is at least once. */
  readonly duplicates: number;
  readonly mails: number;
  readonly duplicateMails: number;
  /** What is wrong, in sentences; empty when all promises are kept. */
  readonly findings: readonly string[];
}

interface ChangeRow {
  readonly id: string;
  readonly user_id: number;
  readonly version: number;
  readonly type: string;
  /** An operator decided that it is not told. */
  readonly skipped: boolean;
  readonly data: {
    readonly role?: Role;
    readonly to?: Role;
    readonly first_time?: boolean;
    readonly seen_by_others?: boolean;
    readonly full_name?: string;
  };
}

interface UserRow {
  readonly id: number;
  readonly email: string;
  readonly version: number;
  readonly role: Role;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  /** Null without a profile. */
  readonly full_name: string | null;
}

interface MailRow {
  readonly id: string;
  readonly address: string;
  readonly kind: string;
  readonly status: string;
}

interface AuditOptions {
  /** Of the SMTP server; without them mails are not looked at. */
  readonly mails?: () => Promise<readonly SunkMail[]>;
  readonly drainMs?: number;
}

/** @returns the sentences of {@link audit}: what is wrong; empty when all promises are kept */
export const violations = async (
  database: Queried,
  watch: TopicWatch,
  acknowledged: readonly Acknowledged[],
  options: AuditOptions = {},
): Promise<readonly string[]> => (await audit(database, watch, acknowledged, options)).findings;

/**
 * Nothing lost, nothing invented: compares what clients were told with the database, and the database with Kafka and with
 * what the SMTP server got. Waits for the queues to drain first, so a relay (and for mails a mailer) has to run.
 */
export async function audit(
  database: Queried,
  watch: TopicWatch,
  acknowledged: readonly Acknowledged[],
  { mails, drainMs = 30_000 }: AuditOptions = {},
): Promise<Audit> {
  await drained(database, "outbox where published_at is null", drainMs);
  if (mails) {
    // What a killed mailer had claimed is due when its lease ends; nobody waits for that here.
    await database.query("update mails set next_attempt_at = now() where status = 'queued'");
    await drained(database, "mails where status = 'queued'", drainMs);
  }
  await watch.caughtUp();
  const users = await database.query<UserRow>(
    `select u.id::int, u.email, u.version, u.role, u.is_active, u.is_email_verified,
       p.first_name || ' ' || p.last_name as full_name
     from users u left join user_profiles p on p.user_id = u.id`,
  );
  const changes = await database.query<ChangeRow>(
    `select id, user_id::int, version, type, data, skipped_at is not null as skipped
     from outbox order by user_id, version`,
  );
  const found: { promise: Promised; sentence: string }[] = [];
  const check: Check = (promise, isKept, sentence) => {
    if (!isKept) found.push({ promise, sentence });
  };
  const state: State = {
    users: new Map(users.map((user) => [user.id, user])),
    changesOf: Map.groupBy(changes, (change) => change.user_id),
  };
  for (const entry of acknowledged) checkJournal(check, state, entry);
  for (const user of users) checkUser(check, state, watch, user);
  for (const id of state.changesOf.keys()) {
    check("invented", state.users.has(id), `the outbox has a change of user ${id}, who does not exist`);
  }
  const committed = new Set(changes.map(({ id }) => id));
  for (const { topic, userId, headers } of watch.messages()) {
    check("invented", committed.has(headers["ce_id"] ?? ""), `${topic} has an invented event of user ${userId}`);
  }
  const sunk = (await mails?.()) ?? [];
  if (mails) checkMails(check, state, acknowledged, await mailRows(database), sunk);

  const count = (promise: Promised) => found.filter((each) => each.promise === promise).length;
  return {
    acknowledged: acknowledged.reduce((sum, entry) => sum + 1 + (entry.changes?.length ?? 0), 0),
    events: changes.length,
    lost: count("lost"),
    invented: count("invented"),
    outOfOrder: count("outOfOrder"),
    whole: count("whole"),
    duplicates: repetitions(watch.messages().map(({ topic, headers }) => `${topic} ${headers["ce_id"] ?? ""}`)),
    mails: sunk.length,
    duplicateMails: repetitions(sunk.map(({ messageId }) => messageId ?? "")),
    findings: found.map(({ sentence }) => sentence),
  };
}

type Check = (promise: Promised, isKept: boolean, sentence: string) => void;
interface State {
  readonly users: ReadonlyMap<number, UserRow>;
  readonly changesOf: ReadonlyMap<number, readonly ChangeRow[]>;
}

async function drained(database: Queried, rows: string, withinMs: number): Promise<void> {
  await eventually(
    `nothing is left of ${rows}`,
    async () => ((await database.query(`select 1 from ${rows} limit 1`)).length === 0 ? true : undefined),
    withinMs,
  );
}

/** What one account's clients were told, against what was committed. */
function checkJournal(check: Check, { users, changesOf }: State, { id, email, changes }: Acknowledged): void {
  const user = users.get(id);
  check("lost", user?.email === email, `the acknowledged registration of ${email} (${id}) is not in the database`);
  if (!user || !changes) return;
  const rows = changesOf.get(id) ?? [];
  let version = 0;
  for (const { type, data = {} } of changes) {
    const row = rows.find((each) => each.version > version && each.type === type && has(each.data, data));
    check("lost", row !== undefined, `user ${id}: an acknowledged ${type} is not in the outbox after ${version}`);
    version = row?.version ?? version;
  }
  const roles = rows.flatMap(({ type, data: { role, to } }) =>
    type === "user.registered" && role ? [role] : type === "user.role_changed" && to ? [to] : [],
  );
  const names = rows.flatMap(({ data }) => data.full_name ?? []);
  const activities = rows.filter(({ type }) => type === "user.deactivated" || type === "user.reactivated");
  const last = { role: roles.at(-1), name: names.at(-1), active: activities.at(-1)?.type !== "user.deactivated" };
  const isSo = user.role === last.role && user.full_name === last.name && user.is_active === last.active;
  check("whole", isSo, `the state of user ${id} is not what the events say`);
}

/** One account's versions, and of each topic its events in their order. */
function checkUser(check: Check, { changesOf }: State, watch: TopicWatch, { id, version, full_name }: UserRow): void {
  const mine = changesOf.get(id) ?? [];
  // A topic may have taken what another refused.
  const skipped = new Set(mine.filter((change) => change.skipped).map((change) => change.id));
  const told = mine.filter((change) => !change.skipped);
  check("whole", full_name !== null, `user ${id} has no profile`);
  check("lost", isGapless(mine, version), `user ${id}, version ${version}, has events ${versions(mine)}`);
  for (const topic of contractTopics) {
    const due = told.filter((change) => topicsOf(change).includes(topic)).map((change) => change.id);
    const messages = watch.ofUser(id, topic);
    const got = idsOf(messages).filter((one) => !skipped.has(one));
    const says = `${topic} has of user ${id} ${got.join()}, due are ${due.join()}`;
    const [expected, received] = [new Set(due), new Set(got)];
    check("lost", expected.isSubsetOf(received), says);
    check("invented", received.isSubsetOf(expected), says);
    const inOrder = due.filter((each) => received.has(each)).join() === got.filter((each) => expected.has(each)).join();
    const onePartition = new Set(messages.map(({ partition }) => partition)).size <= 1;
    check("outOfOrder", inOrder && onePartition, says);
  }
}

const mailRows = (database: Queried): Promise<MailRow[]> =>
  database.query<MailRow>(
    "select id, address, kind, case when last_error = 'superseded' then last_error else status end as status from mails",
  );

/** A verification mail for each acknowledged registration, and none that nobody has ordered. */
function checkMails(
  check: Check,
  { users }: State,
  acknowledged: readonly Acknowledged[],
  rows: readonly MailRow[],
  sunk: readonly SunkMail[],
): void {
  const rowOf = new Map(rows.map((row) => [row.id, row]));
  const arrived = new Set<string>();
  for (const { messageId = "", to } of sunk) {
    const row = rowOf.get(messageId.replace(/^</, "").split("@")[0] ?? "");
    check("invented", to.length === 1 && row?.address === to[0], `a mail to ${to.join()} that is not in the queue`);
    if (row) arrived.add(row.id);
  }
  for (const { id, status } of rows) check("lost", status !== "sent" || arrived.has(id), `mail ${id} did not arrive`);
  const verifications = Map.groupBy(
    rows.filter(({ kind }) => kind === "verify-email"),
    ({ address }) => address,
  );
  for (const { id, email } of acknowledged) {
    const ordered = verifications.get(email) ?? [];
    const sent = ordered.some((row) => arrived.has(row.id));
    const user = users.get(id);
    const isNeeded = user?.is_active === true && !user.is_email_verified;
    check(
      "lost",
      sent || !isNeeded,
      `no verification mail reached ${email}${ordered.map(({ status }) => `, ${status}`).join("")}`,
    );
  }
}

/** Distinct events in the order in which they first appeared. */
export const idsOf = (messages: readonly Message[]): string[] => [
  ...new Set(messages.map(({ headers }) => headers["ce_id"] ?? "")),
];

const repetitions = (keys: readonly string[]): number => keys.length - new Set(keys).size;
const versions = (changes: readonly ChangeRow[]): string => changes.map(({ version }) => version).join();
const has = (whole: Readonly<Record<string, unknown>>, part: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(part).every(([name, value]) => whole[name] === value);
const isGapless = (changes: readonly ChangeRow[], upTo: number): boolean =>
  changes.length === upTo && changes.every(({ version }, index) => version === index + 1);

function topicsOf({ type, data }: ChangeRow): readonly string[] {
  const created = type === "user.registered" ? data.role : data.first_time === true ? data.to : undefined;
  const isRenamedCustomer = type === "user.profile_updated" && data.role === "CU" && data.seen_by_others === true;
  return [...(created ? createdTopics[created] : []), ...(isRenamedCustomer ? ["user_review"] : []), "user_events"];
}
