import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { silentLog } from "../../lib/log.ts";
import { openDatabase } from "../../mixins/database/database.ts";
import { retryMail } from "../../services/mailer/mail-upkeep.repository.ts";
import { mailRow, queueMail, type Queued } from "../support/queued-mails.ts";
import { createStand, type TestStand } from "../support/service.ts";

let stand: TestStand;
beforeEach(async () => {
  stand = await createStand();
});
afterEach(() => stand.stop());

/** `npm run cli -- mails <args>` as a process of its own. */
async function mails(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const cli = join(import.meta.dirname, "../../scripts/cli.ts");
  const env = { PATH: process.env["PATH"], ...stand.env };
  const child = spawn(process.execPath, [cli, "mails", ...args], { cwd: stand.env["DATA_DIR"], env });
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
const json = async (...args: string[]): Promise<unknown> => JSON.parse((await mails(...args, "--json")).stdout);

async function givenUp(reason = "EENVELOPE 550"): Promise<Queued> {
  const mail = await queueMail(stand);
  await stand.query("update mails set status = 'abandoned', attempts = 1, last_error = $2 where id = $1", [
    mail.id,
    reason,
  ]);
  return mail;
}

describe("mails status", () => {
  test("what waits, since when, and what was given up, without addresses", async () => {
    const waiting = await queueMail(stand);
    await stand.query("update mails set created_at = now() - interval '90 seconds' where id = $1", [waiting.id]);
    const mail = await givenUp();
    await givenUp("superseded");
    const told = await mails("status");
    expect([told.code, told.stderr]).toEqual([0, ""]);
    expect(told.stdout).toMatch(/queued +1\ndue +1\noldest +9\d s\nabandoned +1\n/);
    expect(told.stdout).toMatch(new RegExp(`${mail.id} +verify-email +user ${mail.userId} .*EENVELOPE 550`));
    expect(told.stdout).not.toMatch(/@|Anna/);
    expect(await json("status")).toEqual({
      queued: 1,
      due: 1,
      oldest_seconds: expect.any(Number),
      abandoned: 1,
      mails: [
        {
          id: mail.id,
          kind: "verify-email",
          user_id: mail.userId,
          attempts: 1,
          reason: "EENVELOPE 550",
          queued_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        },
      ],
    });
  });
});

describe("mails retry", () => {
  test("one that was given up: due again", async () => {
    const [mail, other] = [await givenUp(), await givenUp()];
    expect(await mails("retry", mail.id)).toEqual({ code: 0, stdout: "1 mail is due again.\n", stderr: "" });
    expect((await mailRow(stand, mail)).status).toBe("queued");
    expect((await mailRow(stand, mail)).seconds).toBeLessThanOrEqual(0);
    expect((await mailRow(stand, other)).status).toBe("abandoned");
  });

  test("all of them: those that nobody waits for stay where they are", async () => {
    await givenUp();
    await givenUp("unmade Error");
    const over = await givenUp("superseded");
    expect(await json("retry", "--all-abandoned")).toEqual({ retried: 2 });
    expect((await mailRow(stand, over)).status).toBe("abandoned");
    expect(await json("retry", "--all-abandoned")).toEqual({ retried: 0 });
  });

  test("16 at once: one winner, the others are told", async () => {
    const mail = await givenUp();
    const db = openDatabase(stand.database, silentLog, { name: "test", connections: 15 });
    const tried = await Promise.all(Array.from({ length: 16 }, () => retryMail(db, mail.id)));
    expect(tried.filter(Boolean)).toHaveLength(1);
    await db.close();
    const loser = await mails("retry", mail.id);
    expect(loser).toEqual({ code: 1, stdout: "", stderr: "This mail is waiting to be sent already.\n" });
  });

  test.each([
    ["that was sent", "update mails set status = 'sent'", "was sent"],
    ["that waits", "update mails set status = 'queued'", "waiting"],
    ["that nobody waits for", "update mails set last_error = 'superseded'", "no longer counts"],
    ["that there is not", "delete from mails", "no mail"],
  ])("one %s: refused, and nothing changes", async (_, statement, words) => {
    const mail = await givenUp();
    await stand.query(statement);
    const before = await stand.query("select * from mails");
    expect(await mails("retry", mail.id)).toEqual({ code: 1, stdout: "", stderr: expect.stringContaining(words) });
    expect(await stand.query("select * from mails")).toEqual(before);
  });
});

test("mails, called wrongly: 64, what is wrong, and how to call it", async () => {
  const wrong: [string[], string][] = [
    [[], "mails status"],
    [["drop"], "mails status"],
    [["retry"], "<id>: "],
    [["retry", randomUUID(), "--all-abandoned"], "--all-abandoned: "],
    [["retry", randomUUID(), randomUUID()], "too many"],
    [["retry", "' or true --"], "<id>: "],
    [["status", "--verbose"], "--verbose: "],
  ];
  const outcomes = await Promise.all(wrong.map(([args]) => mails(...args)));
  for (const [index, { code, stdout, stderr }] of outcomes.entries()) {
    expect([wrong[index]?.[0], code, stdout]).toEqual([wrong[index]?.[0], 64, ""]);
    expect(stderr).toContain(wrong[index]?.[1]);
    expect(stderr).toContain("mails retry <id>|--all-abandoned");
    expect(stderr).not.toMatch(/or true|drop|\n\s+at /);
  }
}, 30_000);
