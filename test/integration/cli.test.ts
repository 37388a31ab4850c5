import { afterEach, beforeAll, afterAll, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { join } from "node:path";
import { startNode } from "../../node.ts";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { signUp } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { password, uniqueEmail } from "../support/people.ts";
import { createStand, type TestStand } from "../support/service.ts";

let stands: TestStand[] = [];
afterEach(async () => {
  await Promise.all(stands.map((stand) => stand.stop()));
  stands = [];
});
async function freshStand(): Promise<TestStand> {
  const stand = await createStand();
  stands.push(stand);
  return stand;
}

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
type Options = Record<string, string>;

const options = (changes: Options = {}): Options => ({
  email: uniqueEmail("first"),
  "first-name": "Maria",
  "last-name": "Nowak",
  phone: "+48 512 345 678",
  "birth-date": "1985-01-31",
  ...changes,
});

/** `npm run cli -- <args>` as a process of its own, with this on its standard input once it is there. */
async function run(stand: TestStand, args: readonly string[], input: string | Promise<string>): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../../scripts/cli.ts"), ...args], {
    cwd: stand.env["DATA_DIR"],
    env: { PATH: process.env["PATH"], ...stand.env },
  });
  child.stdin.on("error", () => undefined);
  void Promise.resolve(input).then((typed) => child.stdin.end(typed));
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
const createModerator = (stand: TestStand, given: Options, input: string | Promise<string> = `${password}\n`) =>
  run(stand, ["create-moderator", ...Object.entries(given).flatMap(([name, value]) => [`--${name}`, value])], input);

const accounts = (stand: TestStand) =>
  stand.query<Record<string, unknown>>(
    "select id::int, email, role, is_active, is_email_verified, version, password_hash from users order by id",
  );

describe("create-moderator", () => {
  test("the first one: active, verified, with its event and mail, and able to moderate", async () => {
    const stand = await freshStand();
    const given = options();
    const outcome = await createModerator(stand, given);
    expect(outcome).toEqual({ code: 0, stdout: expect.stringMatching(/^Moderator \d+ was created\.\n$/), stderr: "" });
    expect(await accounts(stand)).toEqual([
      expect.objectContaining({
        email: given["email"],
        role: "MO",
        is_active: true,
        is_email_verified: true,
        version: 1,
      }),
    ]);
    expect(await stand.query("select type, data ->> 'role' as role from outbox")).toEqual([
      { type: "user.registered", role: "MO" },
    ]);

    const node = await startNode(loadConfig(stand.env), silentLog);
    try {
      const client = stand.client();
      expect((await client.post("/api/v1/tokens/", { email: given["email"], password })).status).toBe(200);
      expect((await client.get("/api/v1/users/")).status).toBe(200);
      const phone = { first_name: "Maria", last_name: "Nowak", phone: "+48512345678", birth_date: "1985-01-31" };
      expect((await client.get("/api/v1/users/current/")).json()).toMatchObject({ user_profile: phone });
      expect((await stand.mailTo(String(given["email"]))).subject).not.toBe("");
    } finally {
      await node.stop();
    }
  });

  test("a second run, in another spelling and with another password: 0, and nothing changes", async () => {
    const stand = await freshStand();
    const given = options();
    await createModerator(stand, given);
    const before = await accounts(stand);
    const again = { ...given, email: ` ${given["email"]?.toUpperCase() ?? ""}`, "first-name": "Other" };
    const outcome = await createModerator(stand, again, "another password\n");
    expect([outcome.code, outcome.stdout, outcome.stderr]).toEqual([0, expect.stringContaining("exists already"), ""]);
    expect(await accounts(stand)).toEqual(before);
    expect(await stand.query("select 1 from outbox")).toHaveLength(1);
  });

  test("twice at once: one moderator, and both runs say that there is one", async () => {
    const stand = await freshStand();
    const given = options();
    // Both have seen that there is no such account, and wait for their password.
    const typed = eventually("both wait for a password", async () => {
      const waiting = await stand.query(
        `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
           and state = 'idle' and query like '%password_hash%email_canonical = $1%'`,
      );
      return waiting.length === 2 ? `${password}\n` : undefined;
    });
    const outcomes = await Promise.all([createModerator(stand, given, typed), createModerator(stand, given, typed)]);
    expect(await accounts(stand)).toHaveLength(1);
    expect(await stand.query("select 1 from outbox")).toHaveLength(1);
    expect(await stand.query("select 1 from mails")).toHaveLength(1);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
    for (const { stderr } of outcomes) expect(stderr).toBe("");
  });

  test("an existing account of another role: refused, and it keeps its role", async () => {
    const stand = await freshStand();
    const node = await startNode(loadConfig(stand.env), silentLog);
    try {
      const person = await signUp(stand);
      const outcome = await createModerator(stand, options({ email: person.email }));
      expect(outcome).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining("no moderator") });
      expect(await accounts(stand)).toEqual([expect.objectContaining({ role: "CU", version: 1 })]);
    } finally {
      await node.stop();
    }
  });

  test("a password is taken as it is, but for the line's end", async () => {
    const stand = await freshStand();
    const given = options();
    expect((await createModerator(stand, given, "  with spaces  \r\n")).code).toBe(0);
    const node = await startNode(loadConfig(stand.env), silentLog);
    try {
      const signIn = async (typed: string) =>
        (await stand.client().post("/api/v1/tokens/", { email: given["email"], password: typed })).status;
      expect([await signIn("  with spaces  "), await signIn("with spaces")]).toEqual([200, 401]);
    } finally {
      await node.stop();
    }
  });
});

describe("what makes no account", () => {
  let stand: TestStand;
  beforeAll(async () => {
    stand = await createStand();
  });
  afterAll(() => stand.stop());

  test.each([
    ["a short password", {}, "xyzzy\n", "password"],
    ["no password", {}, "", "password"],
    ["the own name as password", { "first-name": "Maximiliane" }, "maximiliane\n", "password"],
    ["an address that is none", { email: "nobody@" }, undefined, "email"],
    ["two addresses", { email: "a@example.com,b@example.com" }, undefined, "email"],
    ["a phone that is none", { phone: "12" }, undefined, "phone"],
    ["31 February", { "birth-date": "1985-02-31" }, undefined, "birth_date"],
    ["17 years", { "birth-date": `${new Date().getUTCFullYear() - 17}-01-01` }, undefined, "birth_date"],
    ["a blank name", { "last-name": "  " }, undefined, "last_name"],
  ] as [string, Options, string | undefined, string][])(
    "%s: 1, the field is named, and no account comes to be",
    async (_, changes, input, field) => {
      const outcome = await createModerator(stand, options(changes), input);
      expect(outcome).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining(field) });
      expect(outcome.stderr).not.toMatch(/\n\s+at |node:internal/);
      if (input) expect(outcome.stderr).not.toContain(input.trim());
      expect(await accounts(stand)).toEqual([]);
    },
  );

  const given = options();
  const without = (name: string) =>
    Object.entries(given).flatMap(([option, value]) => (option === name ? [] : [`--${option}`, value]));

  test("an option is missing: 64, and how to call it, whichever it is", async () => {
    const all = Object.keys(given).map((name) => run(stand, ["create-moderator", ...without(name)], `${password}\n`));
    for (const outcome of await Promise.all(all)) {
      expect(outcome).toEqual({ code: 64, stdout: "", stderr: expect.stringContaining("create-moderator --email") });
    }
    expect(await accounts(stand)).toEqual([]);
  });

  test.each([
    ["an option that there is not", ["create-moderator", ...without(""), "--role", "MO"]],
    ["the password as an option", ["create-moderator", ...without(""), "--password", "hidden-in-argv"]],
    ["no command", []],
    ["a command that there is not", ["delete-everything"]],
    ["the name of an object's property", ["constructor"]],
  ] as [string, string[]][])("%s: 64, and how to call it", async (_, args) => {
    const outcome = await run(stand, args, `${password}\n`);
    expect([outcome.code, outcome.stdout]).toEqual([64, ""]);
    expect(outcome.stderr).toContain("create-moderator");
    expect(outcome.stderr).not.toMatch(/hidden-in-argv|\n\s+at /);
    expect(await accounts(stand)).toEqual([]);
  });
});
