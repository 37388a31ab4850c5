import { afterEach, describe, expect, test } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { openDatabase } from "../../mixins/database/database.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { sweep } from "../../services/auth/sweep.repository.ts";
import { signUp } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { failPointEnv } from "../support/fail-point.ts";
import { uniqueEmail } from "../support/people.ts";
import { startProcess } from "../support/process.ts";
import { attemptsAt, mailRow, makeDue, queueMail, type Queued } from "../support/queued-mails.ts";
import { createStand, startService, type TestStand } from "../support/service.ts";
import { startSmtpSink, type SmtpSink } from "../support/smtp-sink.ts";

let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
});

async function sinkFor(...options: Parameters<typeof startSmtpSink>): Promise<SmtpSink> {
  const sink = await startSmtpSink(...options);
  cleanUps.push(() => sink.stop());
  return sink;
}
async function stand(smtp: SmtpSink): Promise<TestStand> {
  const made = await createStand({ EMAIL_PORT: String(smtp.port) });
  cleanUps.push(() => made.stop());
  return made;
}
async function node(on: TestStand, services: string): Promise<RunningNode> {
  const started = await startNode(loadConfig({ ...on.env, SERVICES: services }), silentLog);
  cleanUps.push(() => started.stop());
  return started;
}
const mailer = (on: TestStand) => node(on, "mailer");
const status = (on: TestStand, mail: { id: string }, wanted: string) =>
  eventually(`the mail is ${wanted}`, async () => ((await mailRow(on, mail)).status === wanted ? true : undefined));

interface TokenRow {
  readonly life: number | null;
  readonly left: number;
  readonly ended: boolean;
}
/** `life`: from sending to the end, in seconds; `left`: from now. */
async function tokenOf(on: TestStand, { tokenId }: Pick<Queued, "tokenId">): Promise<TokenRow | undefined> {
  const [row] = await on.query<TokenRow>(
    `select extract(epoch from expires_at - sent_at)::int as life, extract(epoch from expires_at - now())::int as left,
       ended_at is not null as ended from one_time_tokens where id = $1`,
    [tokenId],
  );
  return row;
}
/** The link of a mail as it was sent, opened by a front end. */
async function follow(on: TestStand, smtp: SmtpSink, address: string): Promise<number> {
  const raw =
    smtp
      .takenFor(address)
      .at(-1)
      ?.raw.replaceAll(/=\r?\n/g, "")
      .replaceAll("=3D", "=") ?? "";
  const path = /(\/api\/v1\/users\/[^/\s]+\/verify\/[^/\s]+\/)/.exec(raw)?.[1] ?? "/no-link";
  return (await on.client().get(path, { headers: { accept: "application/json" } })).status;
}
const day = 24 * 60 * 60;

describe("a link's life", () => {
  test("begins when its mail is sent, however late that is", async () => {
    const smtp = await sinkFor({ script: (step) => (step === "CONNECT" ? "421 not today" : undefined) });
    const on = await startService({ EMAIL_PORT: String(smtp.port) });
    cleanUps.push(() => on.stop());
    const { id, email } = await signUp(on);
    // Longer than the link lives.
    for (const [table, column] of [
      ["mails", "created_at"],
      ["one_time_tokens", "created_at"],
      ["one_time_tokens", "expires_at"],
    ] as const) {
      await on.query(`update ${table} set ${column} = ${column} - interval '5 days' where user_id = $1`, [id]);
    }
    smtp.follow(() => undefined);
    await makeDue(on);
    const sent = await eventually("it is sent", async () => {
      const [row] = await on.query<{ tokenId: string; status: string }>(
        `select one_time_token_id as "tokenId", status from mails where user_id = $1`,
        [id],
      );
      return row?.status === "sent" ? row : undefined;
    });
    const token = await tokenOf(on, sent);
    expect(token?.life).toBe(3 * day);
    expect(token?.left).toBeGreaterThan(3 * day - 60);
    expect(await follow(on, smtp, email)).toBe(200);
  });

  test("killed between the server's 250 and our commit: the link works, and is not mailed again once it was used", async () => {
    const smtp = await sinkFor();
    const on = await stand(smtp);
    const mail = await queueMail(on);
    const point = { when: "before", service: "mailer", statement: "update mails set status = 'sent'" } as const;
    const imports = [new URL("../support/fail-point.ts", import.meta.url).pathname];
    const killed = startProcess({ ...on.env, SERVICES: "mailer", ...failPointEnv(point) }, { imports });
    cleanUps.push(() => killed.kill());
    expect(await killed.exited).toMatchObject({ signal: "SIGKILL" });
    await on.query(
      `insert into user_profiles (user_id, first_name, last_name, phone, birth_date)
       select id, 'Anna', 'Nowak', '+48512345678', '1990-05-17' from users`,
    );
    await node(on, "auth,users,api-gateway");
    expect(await follow(on, smtp, mail.address)).toBe(200);

    await makeDue(on);
    await mailer(on);
    await status(on, mail, "abandoned");
    expect(smtp.takenFor(mail.address)).toHaveLength(1);
    expect(await attemptsAt(on, mail)).toEqual([
      { attempt: 1, outcome: null, code: null },
      { attempt: 2, outcome: "superseded", code: "superseded" },
    ]);
    expect(await follow(on, smtp, mail.address)).toBe(400);
  });

  test("a second sending, by whoever took over a lost lease, neither begins it anew nor wakes what is over", async () => {
    const slow = { afterMs: 2500 };
    let asked = 0;
    const smtp = await sinkFor({ script: (step) => (step === "MESSAGE" && ++asked === 1 ? slow : undefined) });
    const on = await stand(smtp);
    const mail = await queueMail(on);
    await mailer(on);
    await eventually("the first has it", () => (smtp.steps.includes("MESSAGE") ? true : undefined));
    await makeDue(on);
    await mailer(on);
    await status(on, mail, "sent");
    const before = await on.query("select * from one_time_tokens");
    await on.query("update one_time_tokens set ended_at = now()");
    await eventually("the first noted its attempt", async () =>
      (await attemptsAt(on, mail)).every(({ outcome }) => outcome === "sent") ? true : undefined,
    );
    const after = await on.query("select * from one_time_tokens");
    expect(after).toEqual([{ ...before[0], ended_at: expect.any(Date) }]);
    expect(new Set(smtp.taken.map(({ messageId }) => messageId)).size).toBe(1);
    expect(await mailRow(on, mail)).toMatchObject({ status: "sent", attempts: 2 });
  });

  test("one that nobody could send for thirty days is over, its mail is not sent, and both are swept", async () => {
    const smtp = await sinkFor();
    const on = await stand(smtp);
    const mail = await queueMail(on);
    await on.query("update one_time_tokens set expires_at = now()");
    await mailer(on);
    await status(on, mail, "abandoned");
    expect([smtp.taken, (await mailRow(on, mail)).last_error]).toEqual([[], "superseded"]);
    await on.query("update one_time_tokens set expires_at = now() - interval '31 days'");
    await on.query("update mails set created_at = now() - interval '31 days'");
    const db = openDatabase(on.database, silentLog, { name: "test", connections: 1 });
    await sweep(db, 400 * 86_400);
    await db.close();
    expect(await on.query("select id from one_time_tokens union all select id from mails")).toEqual([]);
    expect(await on.query("select 1 from mail_attempts")).toEqual([]);
  });
});

describe("what is no longer so when its turn comes", () => {
  const undo = `insert into one_time_tokens (id, user_id, purpose, address, expires_at)
    select gen_random_uuid(), user_id, 'undo-email', address, now() + interval '7 days' from mails where id = $1`;
  const move = `update users set email = 'moved.' || email, email_canonical = 'moved.' || email_canonical
    where id = (select user_id from mails where id = $1)`;
  const ofAccount = "where id = (select user_id from mails where id = $1)";
  const ofToken = "where id = (select one_time_token_id from mails where id = $1)";

  test("is sent to nobody; notices to an old address, and those that still count, are", async () => {
    const smtp = await sinkFor();
    const on = await stand(smtp);
    const cases: [string, Parameters<typeof queueMail>[1], string[], "sent" | "abandoned"][] = [
      ["the link was used, or a newer one made", {}, [`update one_time_tokens set ended_at = now() ${ofToken}`], "abandoned"],
      ["the link expired", {}, [`update one_time_tokens set expires_at = now() ${ofToken}`], "abandoned"],
      ["the link was swept", {}, [`delete from one_time_tokens ${ofToken}`], "abandoned"],
      ["the address moved", {}, [move], "abandoned"],
      ["the account is gone", {}, [`delete from users ${ofAccount}`], "abandoned"],
      ["the account was deactivated", {}, [`update users set is_active = false ${ofAccount}`], "abandoned"],
      ["a welcome, deactivated", { kind: "welcome-moderator", data: { role: "MO", first_name: "A" } }, [`update users set is_active = false ${ofAccount}`], "abandoned"],
      ["a notice, and the address moved by a moderator", { kind: "password-changed" }, [move], "abandoned"],
      ["what tells an old address that a moderator set another", { kind: "email-moved" }, [move], "sent"],
      ["a new address that nobody waits for any more", { kind: "confirm-email" }, [move], "abandoned"],
      ["a notice to a deactivated account", { kind: "password-changed" }, [`update users set is_active = false ${ofAccount}`], "sent"],
      ["a notice to the old address, which may take the change back", { kind: "password-changed" }, [undo, move], "sent"],
      ["the notice of the change itself, after it was confirmed", { kind: "email-change-notice" }, [move], "sent"],
      ["a new address that waits", { kind: "confirm-email" }, [move, `update users set pending_email = (select address from mails where id = $1) ${ofAccount}`], "sent"],
      ["nothing happened", {}, [], "sent"],
    ]; // prettier-ignore
    const mails = [];
    for (const [, changes, statements] of cases) {
      const mail = await queueMail(on, { ...changes, address: uniqueEmail() });
      for (const statement of statements) await on.query(statement, [mail.id]);
      mails.push(mail);
    }
    await mailer(on);
    await eventually("each is decided", async () => {
      const waiting = await on.query("select 1 from mails where status = 'queued'");
      return waiting.length === 0 ? true : undefined;
    });
    for (const [index, [name, , , wanted]] of cases.entries()) {
      const mail = mails[index] ?? { id: "", address: "" };
      const { status: is, last_error } = await mailRow(on, mail);
      expect([name, is, last_error]).toEqual([name, wanted, wanted === "sent" ? null : "superseded"]);
      expect([name, smtp.takenFor(mail.address).length]).toEqual([name, wanted === "sent" ? 1 : 0]);
    }
  });

  test("asked for again and again while the server was away: the newest link alone arrives", async () => {
    const smtp = await sinkFor({ script: (step) => (step === "CONNECT" ? "421 not today" : undefined) });
    const on = await startService({ EMAIL_PORT: String(smtp.port) });
    cleanUps.push(() => on.stop());
    const { client, email } = await signUp(on);
    for (let n = 0; n < 3; n++) expect((await client.get("/api/v1/users/current/send-activation/")).status).toBe(200);
    smtp.follow(() => undefined);
    await eventually("each is decided", async () => {
      await makeDue(on);
      const waiting = await on.query("select 1 from mails where status = 'queued'");
      return waiting.length === 0 ? true : undefined;
    });
    expect(smtp.takenFor(email)).toHaveLength(1);
    expect(await follow(on, smtp, email)).toBe(200);
  });
});
