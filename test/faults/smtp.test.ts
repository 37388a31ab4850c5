import { afterEach, describe, expect, test } from "@jest/globals";
import { loadConfig } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { startNode } from "../../node.ts";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { attemptsAt, mailRow, makeDue, queueMail } from "../support/queued-mails.ts";
import { createStand, startService, type TestService, type TestStand } from "../support/service.ts";
import { startSmtpSink, type Reply, type Script, type SmtpSink, type Step } from "../support/smtp-sink.ts";

let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
});

async function sinkFor(options: Parameters<typeof startSmtpSink>[0] = {}): Promise<SmtpSink> {
  const sink = await startSmtpSink(options);
  cleanUps.push(() => sink.stop());
  return sink;
}
async function service(smtpPort: number): Promise<TestService> {
  const started = await startService({ EMAIL_PORT: String(smtpPort) });
  cleanUps.push(() => started.stop());
  return started;
}
async function stand(smtp: SmtpSink, changes: Record<string, string> = {}): Promise<TestStand> {
  const made = await createStand({ EMAIL_PORT: String(smtp.port), ...changes });
  cleanUps.push(() => made.stop());
  return made;
}
async function mailer(on: TestStand): Promise<() => Promise<void>> {
  const node = await startNode(loadConfig({ ...on.env, SERVICES: "mailer" }), silentLog);
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= node.stop());
  cleanUps.push(stop);
  return stop;
}

/** Registers, and is not held up by whatever SMTP does. @returns the address */
async function register(on: TestStand): Promise<string> {
  const body = registration();
  const began = performance.now();
  expect((await on.client().post("/api/v1/users/customers/", body)).status).toBe(201);
  expect(performance.now() - began).toBeLessThan(1500);
  return body.email;
}
const smtpHealth = async (on: TestStand): Promise<unknown[]> => {
  const answer = await on.client().get("/health/ready");
  const { status, checks } = answer.json() as { status: string; checks: Record<string, string> };
  return [answer.status, status, checks["smtp"]];
};
/** The service has no Kafka in these tests, so it is never quite "ok". */
const away = [200, "degraded", "degraded"];
const back = [200, "degraded", "ok"];

const allDecided = (on: TestStand, { hurry = true } = {}) =>
  eventually(
    "no mail waits",
    async () => {
      if (hurry) await makeDue(on);
      const waiting = await on.query("select 1 from mails where status = 'queued'");
      return waiting.length === 0 ? true : undefined;
    },
    30_000,
  );

/** Every mail of the queue reached the sink, nothing else did, and a mail that came twice is recognised by its Message-ID. */
async function violations(on: TestStand, smtp: SmtpSink): Promise<string[]> {
  const mails = await on.query<{ id: string; address: string; status: string }>(
    "select id, address, status from mails",
  );
  const known = new Map(mails.map(({ id, address }) => [`${id}@127.0.0.1`, address]));
  const lost = mails.filter(({ id }) => !smtp.taken.some(({ messageId }) => messageId.startsWith(id)));
  const invented = smtp.taken.filter(({ messageId, to }) => known.get(messageId) !== to.join());
  return [
    ...lost.map(({ address }) => `the mail to ${address} did not arrive`),
    ...mails.filter(({ status }) => status !== "sent").map(({ id, status }) => `mail ${id} is ${status}`),
    ...invented.map(({ messageId, to }) => `${messageId} to ${to.join()} was never queued`),
  ];
}

describe("16 an SMTP server that refuses something once", () => {
  /** The first time at this step, for this recipient where the step has one. */
  const once = (at: Step, reply: Reply): Script => {
    const seen = new Set<string>();
    return (step, to) => {
      if (step !== at || seen.has(to)) return undefined;
      seen.add(to);
      return reply;
    };
  };

  const refusals: [Step, Reply, string, string][] = [
    ["CONNECT", "421 too many of you", "unavailable", "421"],
    ["CONNECT", "554 go away", "unavailable", "554"],
    ["MAIL", "451 later", "unavailable", "451"],
    ["MAIL", "550 not from you", "unavailable", "550"],
    ["RCPT", "450 grey-listed", "deferred", "450"],
    ["DATA", "451 later", "deferred", "451"],
    ["MESSAGE", "452 no room", "deferred", "452"],
    ["RCPT", "421 closing", "unavailable", "421"],
    ["RCPT", "drop", "unavailable", "ECONNECTION"],
    ["DATA", "drop", "unavailable", "ECONNECTION"],
    ["MESSAGE", "drop", "unavailable", "ECONNECTION"],
  ];

  test("at whatever step, and however: tried again with the same Message-ID, and the mail arrives once", async () => {
    // Each has a server and a queue of its own, all at once: what takes time is the back-off.
    const outcomes = refusals.map(async ([step, reply]) => {
      const smtp = await sinkFor({ script: once(step, reply) });
      const on = await stand(smtp);
      const mail = await queueMail(on);
      await mailer(on);
      await allDecided(on);
      const ids = smtp.taken.map(({ messageId }) => messageId.replace(mail.id, "<id>"));
      return { at: step, reply, ids, attempts: await attemptsAt(on, mail), wrong: await violations(on, smtp) };
    });
    expect(await Promise.all(outcomes)).toEqual(
      refusals.map(([at, reply, outcome, code]) => ({
        at,
        reply,
        ids: ["<id>@127.0.0.1"],
        attempts: [
          { attempt: 1, outcome, code: expect.stringContaining(code) },
          { attempt: 2, outcome: "sent", code: null },
        ],
        wrong: [],
      })),
    );
  }, 60_000);

  test("the connection breaks after the mail was taken, before the 250: it comes twice, with one Message-ID", async () => {
    const smtp = await sinkFor({ script: once("MESSAGE", "take and drop") });
    const on = await stand(smtp);
    const mail = await queueMail(on);
    await mailer(on);
    await allDecided(on);
    expect(smtp.taken.map(({ messageId }) => messageId)).toEqual(Array(2).fill(`${mail.id}@127.0.0.1`));
    expect(await violations(on, smtp)).toEqual([]);
  });

  test.each<[Step, Reply]>([
    ["RCPT", "550 no such user"],
    ["DATA", "554 no"],
    ["MESSAGE", "552 spam"],
  ])("%s answered with %j: given up after one attempt, and the others go on", async (step, reply) => {
    const smtp = await sinkFor({ script: (at, to) => (at === step && to.startsWith("bad") ? reply : undefined) });
    const on = await stand(smtp);
    const [bad, good] = [await queueMail(on, { address: uniqueEmail("bad") }), await queueMail(on)];
    await mailer(on);
    await allDecided(on);
    expect(await mailRow(on, bad)).toMatchObject({ status: "abandoned", attempts: 1 });
    expect(await mailRow(on, good)).toMatchObject({ status: "sent", attempts: 1 });
    expect(smtp.taken.map(({ to }) => to)).toEqual([[good.address]]);
  });

  test("a mail at which the server always breaks the connection: the others arrive all the same", async () => {
    const smtp = await sinkFor({ script: (at, to) => (at === "MESSAGE" && to.startsWith("bad") ? "drop" : undefined) });
    const on = await stand(smtp);
    const bad = await queueMail(on, { address: uniqueEmail("bad") });
    const good = await Promise.all(Array.from({ length: 8 }, () => queueMail(on)));
    await mailer(on);
    await eventually("the others are sent", () => (smtp.taken.length === good.length ? true : undefined), 20_000);
    expect((await mailRow(on, bad)).status).toBe("queued");
  });
});

describe("16 31 an SMTP server that is away", () => {
  test("at the start: registrations go on, readiness tells, and when it comes each mail arrives once", async () => {
    const port = await freePort();
    const on = await service(port);
    const people = [await register(on), await register(on), await register(on)];
    expect(await smtpHealth(on)).toEqual(away);
    await eventually("it was tried", async () => {
      const tried = await on.query("select 1 from mail_attempts where outcome = 'unavailable'");
      return tried.length > 0 ? true : undefined;
    });
    const smtp = await sinkFor({ port });
    await allDecided(on, { hurry: false });
    expect(smtp.taken.map(({ to }) => to.join()).toSorted()).toEqual(people.toSorted());
    expect(await violations(on, smtp)).toEqual([]);
    await eventually("it is well again", async () => ((await smtpHealth(on))[2] === "ok" ? true : undefined));
    expect(await smtpHealth(on)).toEqual(back);
  }, 40_000);

  test("that takes connections and says nothing: nobody waits, a stop hands back what was claimed", async () => {
    const smtp = await sinkFor({ script: () => "hang" });
    const on = await service(smtp.port);
    const email = await register(on);
    await eventually("it was tried", () => (smtp.steps.length > 0 ? true : undefined));
    await register(on);
    expect(await smtpHealth(on)).toEqual(away);
    cleanUps.pop();
    const began = performance.now();
    await on.broker.stop();
    expect(performance.now() - began).toBeLessThan(12_000);
    const [mail] = await on.query<{ status: string; seconds: number }>(
      `select status, extract(epoch from next_attempt_at - now())::float8 as seconds from mails where address = $1`,
      [email],
    );
    expect(mail?.status).toBe("queued");
    expect(mail?.seconds).toBeLessThan(15);
    await on.stop();
  }, 40_000);

  test("that lets us in and then takes nothing: readiness tells that mails are late", async () => {
    const smtp = await sinkFor({ script: (step) => (step === "MESSAGE" ? "hang" : undefined) });
    const on = await stand(smtp);
    for (let n = 0; n < 4; n++) await queueMail(on);
    const node = await startNode(loadConfig({ ...on.env, SERVICES: "mailer" }), silentLog);
    cleanUps.push(() => node.stop());
    await eventually("all connections are busy", () =>
      smtp.steps.filter((step) => step === "MESSAGE").length === 4 ? true : undefined,
    );
    expect(await node.broker.call("mailer.health")).toEqual({ status: "ok" });
    const late = await queueMail(on);
    await on.query("update mails set next_attempt_at = now() - interval '6 minutes' where id = $1", [late.id]);
    expect(await node.broker.call("mailer.health")).toEqual({ status: "degraded" });
  }, 30_000);

  test("that takes its time for each step: nobody waits, each mail arrives once", async () => {
    const smtp = await sinkFor({ script: () => ({ afterMs: 200 }) });
    const on = await service(smtp.port);
    for (let n = 0; n < 3; n++) await register(on);
    await allDecided(on, { hurry: false });
    expect(smtp.taken).toHaveLength(3);
    expect(await violations(on, smtp)).toEqual([]);
  }, 40_000);
});

describe("several mailers at once", () => {
  test("sixteen, two hundred mails: each is sent once", async () => {
    const smtp = await sinkFor();
    const on = await stand(smtp);
    for (let n = 0; n < 200; n++) await queueMail(on);
    await Promise.all(Array.from({ length: 16 }, () => mailer(on)));
    await allDecided(on, { hurry: false });
    expect(smtp.taken).toHaveLength(200);
    expect(await violations(on, smtp)).toEqual([]);
    expect(await on.query("select 1 from mail_attempts where outcome <> 'sent' or attempt > 1")).toEqual([]);
  }, 60_000);

  test("EMAIL_RATE_LIMIT=3: nine mails take two seconds at the least", async () => {
    const smtp = await sinkFor();
    const on = await stand(smtp, { EMAIL_RATE_LIMIT: "3" });
    for (let n = 0; n < 9; n++) await queueMail(on);
    await mailer(on);
    await allDecided(on, { hurry: false });
    const times = smtp.taken.map(({ at }) => at);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(1500);
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(15_000);
  }, 30_000);
});
