import { describe, expect, test } from "@jest/globals";
import { outboxCommand } from "../../../scripts/cli/outbox.ts";
import { topicsCommand } from "../../../scripts/cli/topics.ts";
import { UsageError } from "../../../scripts/cli/usage-error.ts";

const id = "0b9f2d6e-3a4c-4d5e-8f60-718293a4b5c6";
const problemOf = async (command: (args: readonly string[]) => Promise<void>, args: readonly string[]) => {
  const error: unknown = await command(args).catch((reason: unknown) => reason);
  return error instanceof UsageError ? error.message : `no usage error: ${String(error)}`;
};

describe("outbox: arguments are checked before anything is done", () => {
  test.each([
    ["no command", [], "outbox status"],
    ["a command that there is not", ["purge"], "outbox status"],
    ["the name of an object's property", ["constructor"], "outbox status"],
    ["status with an id", ["status", "hidden-value"], "too many"],
    ["an option that there is not", ["status", "--password=hidden-value"], "--password: there is no such option"],
    ["retry without an id", ["retry"], "<id>: it is missing"],
    ["retry of what is no id", ["retry", "hidden-value"], "<id>: must be an id"],
    ["retry of two", ["retry", id, "hidden-value"], "too many"],
    ["retry of one and all", ["retry", id, "--all"], "--all: goes without"],
    ["skip without an id", ["skip"], "<id>: it is missing"],
    ["skip of all", ["skip", "--all"], "--all: there is no such option"],
    ["skip of what would be SQL", ["skip", `${id}' or true --`], "<id>: must be an id"],
    ["replay without a time", ["replay"], "--from: it is missing"],
    ["replay from nowhere", ["replay", "--from"], "--from: a value is missing"],
    ["replay from no time", ["replay", "--from", "hidden-value"], "--from: must be a time"],
    ["replay from 31 February", ["replay", "--from", "2026-02-31"], "--from: must be a time"],
    ["replay from a time without a zone", ["replay", "--from", "2026-01-31T10:00:00"], "--from: must be a time"],
    ["replay from tomorrow", ["replay", "--from", "2999-01-01"], "--from: lies in the future"],
    [
      "replay to no topic of ours",
      ["replay", "--from", "2026-01-01", "--topic", "hidden-value"],
      "--topic: must be one of",
    ],
  ])("%s", async (_, args, sentence) => {
    const problem = await problemOf(outboxCommand, args);
    expect(problem).toContain(sentence);
    expect(problem).not.toContain("hidden-value");
  });
});

describe("topics", () => {
  test.each([
    ["no number of partitions", ["--partitions", "hidden-value"], "--partitions: must be a whole number"],
    ["no partition", ["--partitions", "0"], "--partitions: must be a whole number"],
    ["too many partitions", ["--partitions", "1001"], "--partitions: must be a whole number from 1 to 1000"],
    ["fewer than no replica", ["--replication=-1"], "--replication: must be a whole number from 1 to 10"],
    ["half a replica", ["--replication", "1.5"], "--replication: must be a whole number"],
    ["a topic's name", ["hidden-value"], "too many"],
    ["an option that there is not", ["--delete"], "--delete: there is no such option"],
  ])("%s", async (_, args, sentence) => {
    const problem = await problemOf(topicsCommand, args);
    expect(problem).toContain(sentence);
    expect(problem).not.toContain("hidden-value");
  });
});
