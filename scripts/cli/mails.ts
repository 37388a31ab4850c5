import {
  abandonedMails,
  mailStatus,
  queueState,
  retryAbandonedMails,
  retryMail,
  type AbandonedMail,
  type QueueState,
} from "../../services/mailer/mail-upkeep.repository.ts";
import { readArgs, readId } from "./arguments.ts";
import { UsageError } from "./usage-error.ts";
import { withDatabase } from "./with-database.ts";

const usage = `npm run cli -- mails status [--json]                       what waits, what was given up and why
npm run cli -- mails retry <id>|--all-abandoned [--json]   tries again what was given up, or all of it`;

const flag = { type: "boolean", default: false } as const;
/** More of them have one cause, which the first ones show. */
const shown = 100;

const commands: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = { status, retry };

/** What operators see of the mail queue, and do to it (docs/reliability.md). No address is shown: ids say which mail it is. */
export async function mailsCommand([name = "", ...args]: readonly string[]): Promise<void> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(usage);
  await command(args);
}

async function status(args: readonly string[]): Promise<void> {
  const { values } = readArgs(args, { json: flag }, usage);
  await withDatabase(async (_config, db) => {
    const state = await queueState(db);
    const mails = await abandonedMails(db, shown);
    const { queued, due, oldestSeconds: oldest_seconds, abandoned } = state;
    const found = { queued, due, oldest_seconds, abandoned, mails };
    console.log(values.json ? JSON.stringify(found) : readable(state, mails));
  });
}

async function retry(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArgs(args, { json: flag, "all-abandoned": flag }, usage, 1);
  const all = values["all-abandoned"];
  if (all && positionals.length > 0) throw new UsageError(`--all-abandoned: goes without an <id>.\n${usage}`);
  const id = all ? undefined : readId(positionals[0], usage);
  await withDatabase(async (_config, db) => {
    if (id !== undefined && !(await retryMail(db, id))) throw new Error(refusal(await mailStatus(db, id)));
    const retried = id === undefined ? await retryAbandonedMails(db) : 1;
    const sentence = `${retried} ${retried === 1 ? "mail is" : "mails are"} due again.`;
    console.log(values.json ? JSON.stringify({ retried }) : sentence);
  });
}

function refusal(found: string | undefined): string {
  if (found === undefined) return "There is no mail with this id.";
  if (found === "queued") return "This mail is waiting to be sent already.";
  if (found === "sent") return "This mail was sent.";
  // Somebody else's retry may have failed again in between.
  if (found === "abandoned") return "This mail was tried again and given up by somebody else at this moment.";
  return "This mail is not sent any more: its link or its address no longer counts.";
}

function readable({ queued, due, oldestSeconds, abandoned }: QueueState, mails: readonly AbandonedMail[]): string {
  const lines = [
    `queued     ${queued}`,
    `due        ${due}`,
    `oldest     ${Math.round(oldestSeconds)} s`,
    `abandoned  ${abandoned}${abandoned > mails.length ? `, the newest ${mails.length}:` : ""}`,
  ];
  for (const { id, kind, user_id, attempts, reason, queued_at } of mails) {
    lines.push(`  ${id}  ${kind}  user ${user_id}  ${attempts} attempt(s)  ${reason}  queued ${queued_at}`);
  }
  return lines.join("\n");
}
