/** `npm run cli -- <command>`: what operators do by hand. */
import { ConfigError, configExitCode } from "../lib/config.ts";
import { createModeratorCommand } from "./cli/create-moderator.ts";
import { importDjangoCommand } from "./cli/import-django.ts";
import { outboxCommand } from "./cli/outbox.ts";
import { topicsCommand } from "./cli/topics.ts";
import { mailsCommand } from "./cli/mails.ts";
import { UsageError, usageExitCode } from "./cli/usage-error.ts";

const commands: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  "create-moderator": createModeratorCommand,
  "import-django": importDjangoCommand,
  outbox: outboxCommand,
  topics: topicsCommand,
  mails: mailsCommand,
};

const [name = "", ...args] = process.argv.slice(2);
try {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) throw new UsageError(`Commands: ${Object.keys(commands).join(", ")}`);
  await command(args);
} catch (error) {
  if (error instanceof ConfigError) {
    console.error(`The configuration is not complete:\n${error.problems.map((problem) => `  ${problem}`).join("\n")}`);
    process.exit(configExitCode);
  }
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(error instanceof UsageError ? usageExitCode : 1);
}
