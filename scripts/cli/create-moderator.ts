import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { systemClock } from "../../lib/clock.ts";
import { readEmailAddress } from "../../lib/email-address.ts";
import { ServiceError } from "../../lib/errors.ts";
import { system } from "../../lib/principal.ts";
import { findAccount, findCredentials } from "../../mixins/accounts/accounts.repository.ts";
import { emailTaken } from "../../mixins/accounts/change-account.ts";
import type { Database } from "../../mixins/database/database.ts";
import { openAuth } from "../../services/auth/open-auth.ts";
import { createModerator } from "../../services/auth/create-moderator.ts";
import { sqlCounters } from "../../services/auth/throttling/counters/sql-counters.repository.ts";
import { UsageError } from "./usage-error.ts";
import { withDatabase } from "./with-database.ts";

const usage = `npm run cli -- create-moderator --email E --first-name F --last-name L --phone +48512345678 --birth-date YYYY-MM-DD [--no-email]
The password is asked for, or read from standard input when that is no terminal.`;

/** Makes the first moderator. A second run with the same address changes nothing. */
export async function createModeratorCommand(args: readonly string[]): Promise<void> {
  const { email, profile, sendEmail } = readArguments(args);
  await withDatabase(async (config, db, log) => {
    if (await existsAlready(db, email)) return;
    const password = await readPassword();
    const auth = openAuth(config, db, sqlCounters(db), log, systemClock);
    try {
      const { id } = await createModerator(auth, { email, password, user_profile: profile }, system, {
        sendEmail,
      });
      console.log(`Moderator ${id} was created.`);
    } catch (error) {
      // Somebody else may have been quicker.
      if (isTaken(error) && (await existsAlready(db, email))) return;
      throw readable(error);
    } finally {
      await auth.passwords.close();
    }
  });
}

async function existsAlready(db: Database, email: string): Promise<boolean> {
  const existing = await findCredentials(db, { canonicalEmail: readEmailAddress(email)?.canonical ?? "" });
  if (!existing) return false;
  const role = (await findAccount(db, existing.id))?.role;
  if (role !== "MO") throw new Error("An account with this e-mail exists and is no moderator.");
  console.log("This moderator exists already; nothing was changed.");
  return true;
}

function readArguments(args: readonly string[]) {
  const option = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const options = {
    email: option,
    "first-name": option,
    "last-name": option,
    phone: option,
    "birth-date": option,
    "no-email": flag,
  };
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true });
    const { email, phone } = values;
    const [first_name, last_name, birth_date] = [values["first-name"], values["last-name"], values["birth-date"]];
    if (!email || !first_name || !last_name || !phone || !birth_date) throw new Error("an option is missing");
    return { email, profile: { first_name, last_name, phone, birth_date }, sendEmail: !values["no-email"] };
  } catch {
    throw new UsageError(usage);
  }
}

/** Never as an argument: other users of the machine can read those. */
async function readPassword(): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).replace(/\r?\n$/, "");
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  process.stdout.write("Password: ");
  const password = await terminal.question("");
  terminal.close();
  process.stdout.write("\n");
  return password;
}

const isTaken = (error: unknown): boolean =>
  error instanceof ServiceError && error.data.fields?.["email"] === emailTaken;

function readable(error: unknown): unknown {
  if (!(error instanceof ServiceError) || !error.data.fields) return error;
  const fields = Object.entries(error.data.fields).map(([field, problem]) => `${field}: ${problem}`);
  return new Error(fields.join("\n"));
}
