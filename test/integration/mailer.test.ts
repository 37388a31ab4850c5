import { afterEach, describe, expect, test } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { simpleParser, type ParsedMail } from "mailparser";
import { SMTPServer } from "smtp-server";
import { loadConfig } from "../../lib/config.ts";
import { keyRing } from "../../lib/keys.ts";
import { silentLog } from "../../lib/log.ts";
import { readOneTimeToken } from "../../lib/one-time-token.ts";
import { encodeUserId } from "../../lib/user-reference.ts";
import { startNode, type RunningNode } from "../../node.ts";
import { eventually } from "../support/eventually.ts";
import { failPointEnv } from "../support/fail-point.ts";
import { attemptsAt, mailRow, makeDue, queueMail } from "../support/queued-mails.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startProcess } from "../support/process.ts";
import { createStand, linkIn, startService, type TestStand } from "../support/service.ts";

interface Delivery {
  readonly from: string;
  readonly to: readonly string[];
  readonly mail: ParsedMail;
  readonly raw: string;
}

interface Smtp {
  readonly port: number;
  /** Every mail that was taken. */
  readonly deliveries: Delivery[];
  /** Recipients that were tried, refused ones included. */
  readonly attempts: string[];
  stop(): Promise<void>;
}

let cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
});

/** @param refuse the SMTP answer that a recipient gets at this attempt (counted from 1); none takes the mail */
async function startSmtp(
  refuse: (to: string, attempt: number) => number | undefined = () => undefined,
  wanted = 0,
): Promise<Smtp> {
  const deliveries: Delivery[] = [];
  const attempts: string[] = [];
  const server = new SMTPServer({
    disabledCommands: ["STARTTLS", "AUTH"],
    disableReverseLookup: true,
    closeTimeout: 200,
    onRcptTo({ address }, _session, done) {
      attempts.push(address);
      const code = refuse(address, attempts.filter((to) => to === address).length);
      done(code === undefined ? null : Object.assign(new Error(`no, ${address}`), { responseCode: code }));
    },
    onData(stream, { envelope }, done) {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const raw = Buffer.concat(chunks).toString();
        const to = envelope.rcptTo.map(({ address }) => address);
        void simpleParser(raw).then((mail) => {
          deliveries.push({ from: envelope.mailFrom === false ? "" : envelope.mailFrom.address, to, mail, raw });
          done();
        });
      });
    },
  });
  server.on("error", () => undefined);
  const port = await new Promise<number>((resolve) => {
    const listener = server.listen(wanted, "127.0.0.1", () => {
      const address = listener.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
  });
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= new Promise<void>((resolve) => server.close(() => resolve())));
  cleanUps.push(stop);
  return { port, deliveries, attempts, stop };
}

async function stand(smtpPort: number, changes: Record<string, string> = {}): Promise<TestStand> {
  const made = await createStand({ EMAIL_PORT: String(smtpPort), ...changes });
  cleanUps.push(() => made.stop());
  return made;
}

async function mailer(on: TestStand): Promise<RunningNode> {
  const node = await startNode(loadConfig({ ...on.env, SERVICES: "mailer" }), silentLog);
  cleanUps.push(() => node.stop());
  return node;
}

const queue = (on: TestStand, address = uniqueEmail(), data: object = { role: "CU", first_name: "Anna" }) =>
  queueMail(on, { address, data });

const inState = (on: TestStand, mail: { id: string }, state: string) =>
  eventually(`the mail is ${state}`, async () => {
    const row = await mailRow(on, mail);
    return row.status === state ? row : undefined;
  });
const due = makeDue;

describe("mailer: what it sends", () => {
  test("a registration: one mail to the one who registered, its parts and headers as they should be", async () => {
    const smtp = await startSmtp();
    const service = await startService({ EMAIL_PORT: String(smtp.port), COMPANY_NAME: "Żółw, Ltd <x@evil.example>" });
    cleanUps.push(() => service.stop());
    const body = registration({ user_profile: { ...registration().user_profile, first_name: "Zoë <b>&amp;</b>" } });
    expect((await service.client().post("/api/v1/users/customers/", body)).status).toBe(201);
    await eventually("the mail is there", () => (smtp.deliveries.length > 0 ? true : undefined));

    const [{ from, to, mail, raw }] = smtp.deliveries as [Delivery];
    expect([from, to]).toEqual(["no-reply@example.com", [body.email]]);
    const [{ id }] = (await service.query<{ id: string }>("select id from mails")) as [{ id: string }];
    expect(mail.messageId).toBe(`<${id}@127.0.0.1>`);
    expect(mail.from?.value).toEqual([{ name: "Żółw, Ltd <x@evil.example>", address: "no-reply@example.com" }]);
    expect([mail.to].flat().flatMap((one) => one?.value.map(({ address }) => address))).toEqual([body.email]);
    expect([mail.cc, mail.bcc]).toEqual([undefined, undefined]);
    expect(mail.subject).toBe("Confirm your e-mail address – Żółw, Ltd <x@evil.example>");
    expect(Math.abs(Date.now() - Number(mail.date))).toBeLessThan(60_000);
    expect(String(mail.headers.get("content-type") && raw)).toMatch(/^Content-Type: multipart\/alternative/m);
    expect(raw).not.toMatch(/^(?:bcc|cc|x-mailer):/im);

    const link = `http://127.0.0.1:${service.config.web.port}${linkIn({ ...mail, text: mail.text ?? "" } as never)}`;
    expect(mail.html).toContain(`href="${link}"`);
    expect(mail.html).not.toContain("<b>&amp;</b>");
    const confirmed = await service.client().get(new URL(link).pathname, { headers: { accept: "application/json" } });
    expect(confirmed.status).toBe(200);
    expect((await service.client().post("/api/v1/tokens/", { email: body.email, password })).status).toBe(200);
  });

  test("a reset of the password: the same link in both parts, with a token for that purpose alone", async () => {
    const smtp = await startSmtp();
    const service = await startService({ EMAIL_PORT: String(smtp.port) });
    cleanUps.push(() => service.stop());
    const registered = await service.client().post("/api/v1/users/customers/", registration());
    const { id, email } = registered.json() as { id: number; email: string };
    const tokenId = randomUUID();
    await service.query(
      `insert into one_time_tokens (id, user_id, purpose, address, expires_at)
       values ($1, $2, 'reset-password', $3, now() + interval '1 hour')`,
      [tokenId, id, email],
    );
    await service.query(
      `insert into mails (id, user_id, kind, address, data, one_time_token_id)
       values (gen_random_uuid(), $1, 'reset-password', $2, '{"role": "CU", "first_name": "Anna"}', $3)`,
      [id, email, tokenId],
    );
    const mail = await eventually(
      "the mail is there",
      () => smtp.deliveries.find((delivery) => delivery.mail.subject?.startsWith("Set a new password"))?.mail,
    );

    const [link = ""] = mail.text?.match(/https?:\S+/g) ?? [];
    expect(mail.html).toContain(`href="${link}"`);
    const start = `${service.config.publicUrl}/api/v1/users/${encodeUserId(id)}/reset-password/`;
    expect(link.startsWith(start)).toBe(true);
    const token = link.slice(start.length, -1);
    const keys = keyRing(service.config.secrets, "one-time-token");
    expect(readOneTimeToken(keys, "reset-password", token)).toBe(tokenId);
    for (const other of ["verify-email", "confirm-email", "undo-email"] as const) {
      expect(readOneTimeToken(keys, other, token)).toBeUndefined();
    }
  });

  test("an address with a second one in it: nobody else gets the mail", async () => {
    const smtp = await startSmtp();
    const on = await stand(smtp.port);
    const mail = await queue(on, "anna@example.com, eve@example.com");
    const next = await queue(on);
    await mailer(on);
    await inState(on, next, "sent");
    await eventually("the odd one was tried", async () => ((await mailRow(on, mail)).attempts > 0 ? true : undefined));
    expect(smtp.attempts).not.toContain("eve@example.com");
  });
});

describe("mailer: what it does when the server says no", () => {
  test("4xx: tried again, with the same Message-ID, and sent", async () => {
    const smtp = await startSmtp((_, attempt) => (attempt === 1 ? 451 : undefined));
    const on = await stand(smtp.port);
    const mail = await queue(on);
    await mailer(on);
    const failed = await eventually("the first attempt failed", async () => {
      const row = await mailRow(on, mail);
      return row.last_error === null ? undefined : row;
    });
    expect([failed.status, failed.attempts]).toEqual(["queued", 1]);
    expect(failed.last_error).toContain("451");
    expect(failed.last_error).not.toContain("@");
    expect(failed.seconds).toBeGreaterThan(1);

    await due(on);
    expect(await inState(on, mail, "sent")).toMatchObject({ attempts: 2, last_error: null });
    expect(await attemptsAt(on, mail)).toEqual([
      { attempt: 1, outcome: "deferred", code: "EENVELOPE 451" },
      { attempt: 2, outcome: "sent", code: null },
    ]);
    expect(smtp.deliveries.map((delivery) => delivery.mail.messageId)).toEqual([expect.stringContaining(mail.id)]);
  });

  test("5xx: abandoned after one attempt, the others go on", async () => {
    const smtp = await startSmtp((to) => (to.startsWith("nobody") ? 550 : undefined));
    const on = await stand(smtp.port);
    const [refused, other] = [await queue(on, uniqueEmail("nobody")), await queue(on)];
    await mailer(on);
    expect(await inState(on, refused, "abandoned")).toMatchObject({ attempts: 1 });
    expect(await attemptsAt(on, refused)).toEqual([{ attempt: 1, outcome: "refused", code: "EENVELOPE 550" }]);
    await inState(on, other, "sent");
    expect(smtp.attempts.filter((to) => to === refused.address)).toHaveLength(1);
  });

  test("a row that cannot be made into a mail: the others go on", async () => {
    const smtp = await startSmtp();
    const on = await stand(smtp.port);
    const [bad, other] = [await queue(on, uniqueEmail(), { role: "??" }), await queue(on)];
    await mailer(on);
    await inState(on, other, "sent");
    const row = await eventually("the bad one was tried", async () => {
      const found = await mailRow(on, bad);
      return found.last_error === null ? undefined : found;
    });
    expect([row.status, row.last_error]).toEqual(["abandoned", "unmade Error"]);
    expect(smtp.deliveries.map(({ to }) => to)).toEqual([[other.address]]);
  });

  test("server down, then up: registrations go on, and the mails arrive afterwards", async () => {
    const port = await freePort();
    const service = await startService({ EMAIL_PORT: String(port) });
    cleanUps.push(() => service.stop());
    const people = [registration(), registration()];
    for (const body of people) {
      const began = performance.now();
      expect((await service.client().post("/api/v1/users/customers/", body)).status).toBe(201);
      expect(performance.now() - began).toBeLessThan(1000);
    }
    await eventually("both were tried", async () => {
      const rows = await service.query("select from mails where last_error is not null");
      return rows.length === 2 ? true : undefined;
    });
    const smtp = await startSmtp(undefined, port);
    await due(service);
    await eventually("both were sent", () => (smtp.deliveries.length === 2 ? true : undefined));
    expect(smtp.deliveries.flatMap(({ to }) => to).toSorted()).toEqual(people.map(({ email }) => email).toSorted());
  });
});

describe("mailer: several at once, and one that dies", () => {
  test("two mailers, forty mails: each is sent once", async () => {
    const smtp = await startSmtp();
    const on = await stand(smtp.port);
    const mails = await Promise.all(Array.from({ length: 40 }, () => queue(on)));
    await Promise.all([mailer(on), mailer(on)]);
    await eventually("all are sent", async () => {
      const rows = await on.query("select from mails where status = 'queued'");
      return rows.length === 0 ? true : undefined;
    });
    const sent = smtp.deliveries.map((delivery) => delivery.mail.messageId);
    expect(sent.toSorted()).toEqual(mails.map(({ id }) => `<${id}@127.0.0.1>`).toSorted());
  });

  test("killed after sending, before noting it: nobody else sends during the lease, then the same mail again", async () => {
    const smtp = await startSmtp();
    const on = await stand(smtp.port);
    const mail = await queue(on);
    const killed = startProcess(
      {
        ...on.env,
        SERVICES: "mailer",
        ...failPointEnv({ when: "before", service: "mailer", statement: "update mails set status = 'sent'" }),
      },
      { imports: [new URL("../support/fail-point.ts", import.meta.url).pathname] },
    );
    cleanUps.push(() => killed.kill());
    expect(await killed.exited).toMatchObject({ signal: "SIGKILL" });
    expect(smtp.deliveries).toHaveLength(1);
    const leased = await mailRow(on, mail);
    expect([leased.status, leased.attempts]).toEqual(["queued", 1]);
    expect(await attemptsAt(on, mail)).toEqual([{ attempt: 1, outcome: null, code: null }]);
    expect(leased.seconds).toBeGreaterThan(10);

    const later = await queue(on);
    await mailer(on);
    await inState(on, later, "sent");
    expect(smtp.attempts.filter((to) => to === mail.address)).toHaveLength(1);

    await due(on);
    await inState(on, mail, "sent");
    const again = smtp.deliveries.filter(({ to }) => to.includes(mail.address));
    expect(again.map((delivery) => delivery.mail.messageId)).toEqual(Array(2).fill(`<${mail.id}@127.0.0.1>`));
  });
});
