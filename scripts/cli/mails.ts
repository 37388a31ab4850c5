import { parseArgs } from "node:util";
import type { Database } from "../../mixins/database/database.ts";
import {
  abandonedMails,
  mailStatus,
  queueState,
  retryAbandonedMails,
  retryMail,
  type AbandonedMail,
  type QueueState,
} from "../../services/mailer/mail-upkeep.repository.ts";
import { UsageError } from "./usage-error.ts";
import { withDatabase } from "./with-database.ts";

const usage = `npm run cli -- mails status [--json]
npm run cli -- mails retry <id> [--json]
npm run cli -- mails retry --all-abandoned [--json]`;
/** As many as a person reads. */
const shown = 100;

type Command =
  | { readonly action: "status"; readonly json: boolean }
  | { readonly action: "retry"; readonly id: string | undefined; readonly json: boolean };

/** Shows the mail queue, and tries again what was given up. No address is shown: the id and the account's id say which. */
export async function mailsCommand(args: readonly string[]): Promise<void> {
  const command = readArguments(args);
  await withDatabase(async (_config, db) => {
    if (command.action === "status") await status(db, command.json);
    else await retry(db, command.id, command.json);
  });
}

async function status(db: Database, json: boolean): Promise<void> {
  const state = await queueState(db);
  const abandoned = await abandonedMails(db, shown);
  if (json) console.log(JSON.stringify({ ...state, mails: abandoned }));
  else console.log(readable(state, abandoned));
}

async function retry(db: Database, id: string | undefined, json: boolean): Promise<void> {
  if (id !== undefined && !(await retryMail(db, id))) throw new Error(refusal(await mailStatus(db, id)));
  const retried = id === undefined ? await retryAbandonedMails(db) : 1;
  console.log(json ? JSON.stringify({ retried }) : `${retried} ${retried === 1 ? "mail is" : "mails are"} due again.`);
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

function readArguments(args: readonly string[]): Command {
  const { values, positionals } = parsed(args);
  const [action, id, ...more] = positionals;
  const json = values.json;
  if (action === "status" && id === undefined && !values["all-abandoned"]) return { action, json };
  if (action !== "retry") throw new UsageError(`The action must be status or retry.\n${usage}`);
  if (more.length > 0) throw new UsageError(`retry takes one <id>.\n${usage}`);
  if ((id === undefined) !== values["all-abandoned"]) {
    throw new UsageError(`retry needs an <id> or --all-abandoned, and not both.\n${usage}`);
  }
  if (id !== undefined && !/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) {
    throw new UsageError(`<id> must be an id as status shows it.\n${usage}`);
  }
  return { action, id, json };
}

function parsed(args: readonly string[]) {
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args: [...args],
      options: { json: flag, "all-abandoned": flag },
      allowPositionals: true,
      strict: true,
    });
  } catch {
    throw new UsageError(`There are the options --json and --all-abandoned.\n${usage}`);
  }
}
