import type { Config } from "../../lib/config.ts";
import type { Database } from "../../mixins/database/database.ts";
import {
  parkedChanges,
  relayState,
  requestReplay,
  retryParked,
  skipParked,
} from "../../services/events/outbox-operations.repository.ts";
import { queueState } from "../../services/events/outbox-queue.repository.ts";
import { allTopics } from "../../services/events/topics.ts";
import { readArgs, readId, readPastTime } from "./arguments.ts";
import { describeStatus, type OutboxStatus } from "./outbox-status.ts";
import { UsageError } from "./usage-error.ts";
import { withDatabase } from "./with-database.ts";

const usage = `npm run cli -- outbox status [--json]        what waits, what is parked and why
npm run cli -- outbox retry <id>|--all       tries a parked change again, or all of them
npm run cli -- outbox skip <id>              does not tell this parked change; later ones of its user go on
npm run cli -- outbox replay --from <time> [--topic <topic>]
                                             tells again what was published since then, with the same ids`;

const json = { type: "boolean", default: false } as const;
/** More of them have one cause, which the first ones show. */
const shown = 100;

const commands: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = { status, retry, skip, replay };

/** What operators see of the changes on their way to Kafka, and do to them (docs/reliability.md). */
export async function outboxCommand([name = "", ...args]: readonly string[]): Promise<void> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(usage);
  await command(args);
}

async function status(args: readonly string[]): Promise<void> {
  const { values } = readArgs(args, { json }, usage);
  await withDatabase(async (config, db) => {
    const found = await readStatus(db);
    console.log(values.json ? JSON.stringify(found) : describeStatus(found, retentionDays(config)));
  });
}

async function readStatus(db: Database): Promise<OutboxStatus> {
  const { unpublished, oldestSeconds, parked, held } = await queueState(db);
  const changes = await parkedChanges(db, shown);
  return { unpublished, oldest_seconds: oldestSeconds, parked, held, ...(await relayState(db)), changes };
}

async function retry(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArgs(args, { json, all: { type: "boolean", default: false } }, usage, 1);
  if (values.all && positionals.length > 0) throw new UsageError(`--all: goes without an <id>.\n${usage}`);
  const id = values.all ? undefined : readId(positionals[0], usage);
  await withDatabase(async (_config, db) => {
    const changes = await retryParked(db, id);
    if (changes === 0 && id !== undefined) throw notParked(id);
    console.log(values.json ? JSON.stringify({ retried: changes }) : `${count(changes)} will be tried again.`);
  });
}

async function skip(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArgs(args, { json }, usage, 1);
  const id = readId(positionals[0], usage);
  await withDatabase(async (_config, db) => {
    const change = await skipParked(db, id);
    if (!change) throw notParked(id);
    const { type, user_id: user, version } = change;
    const sentence =
      `${type} of user ${user} is skipped: version ${version} is not told. Consumers see that number missing ` +
      `(a topic that took it before another refused has it); the user's later changes go on.`;
    console.log(values.json ? JSON.stringify({ skipped: { id, ...change } }) : sentence);
  });
}

async function replay(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = readArgs(args, { json, from: text, topic: text }, usage);
  const { from, topic } = values;
  if (from === undefined) throw new UsageError(`--from: it is missing.\n${usage}`);
  const since = readPastTime("--from", from);
  if (topic !== undefined && !allTopics.includes(topic)) {
    throw new UsageError(`--topic: must be one of ${allTopics.join(", ")}.`);
  }
  await withDatabase(async (config, db) => {
    const changes = await requestReplay(db, since, topic);
    if (changes === undefined) {
      throw new Error("Another replay is under way: wait until outbox status no longer tells of it.");
    }
    const kept = `Published changes are kept for ${retentionDays(config)} days.`;
    const sentence = `${count(changes)} will be told again by the relay, with the same ids, to ${topic ?? "all topics"}.`;
    console.log(values.json ? JSON.stringify({ replayed: changes, since, topic }) : `${sentence} ${kept}`);
  });
}

const count = (changes: number): string => (changes === 1 ? "1 change" : `${changes} changes`);
const retentionDays = ({ outboxRetention }: Config): string => (outboxRetention / 86_400).toFixed(1).replace(".0", "");
const notParked = (id: string): Error => new Error(`No parked change has the id ${id}: see outbox status.`);
