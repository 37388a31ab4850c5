import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadConfig } from "../../lib/config.ts";
import { startNode } from "../../node.ts";
import { createAuthority, type Authority, type Certificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { attemptsAt, mailRow, queueMail, type Queued } from "../support/queued-mails.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startSmtpSink, type SmtpSink } from "../support/smtp-sink.ts";
import { memoryLog } from "../unit/helpers.ts";

const credentials = { EMAIL_HOST_USER: "shop@example.com", EMAIL_HOST_PASSWORD: "a-canary-of-a-password" };
const secretForms = [
  "canary",
  Buffer.from(`\0${credentials.EMAIL_HOST_USER}\0${credentials.EMAIL_HOST_PASSWORD}`).toString("base64"),
];

let authority: Authority;
let certificate: Certificate;
let cleanUps: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  authority = await createAuthority();
  certificate = await authority.issue();
});
afterEach(async () => {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  cleanUps = [];
});

interface Tried {
  readonly smtp: SmtpSink;
  readonly on: TestStand;
  readonly mail: Queued;
  readonly log: ReturnType<typeof memoryLog>;
  readonly health: () => Promise<unknown>;
}

/** One mail, tried with sign-in over a server of this kind. */
async function trySending(
  server: Parameters<typeof startSmtpSink>[0],
  { ca, ...env }: Record<string, string> = {},
): Promise<Tried> {
  const smtp = await startSmtpSink({ offersAuth: true, ...server });
  cleanUps.push(() => smtp.stop());
  const on = await createStand({ EMAIL_PORT: String(smtp.port), ...credentials, ...env });
  cleanUps.push(() => on.stop());
  const caFile = join(on.env["DATA_DIR"] ?? "", "ca.pem");
  await writeFile(caFile, ca ?? "");
  const mail = await queueMail(on);
  const log = memoryLog();
  const config = loadConfig({ ...on.env, ...(ca !== undefined && { EMAIL_TLS_CA: caFile }), SERVICES: "mailer" });
  const node = await startNode(config, log);
  cleanUps.push(() => node.stop());
  await eventually("it was tried", async () =>
    (await attemptsAt(on, mail)).some(({ outcome }) => outcome !== null) ? true : undefined,
  );
  const health = async () => {
    const { status } = await node.broker.call<{ status: string }, object>("mailer.health", {}, { timeout: 5000 });
    return status;
  };
  return { smtp, on, mail, log, health };
}

async function expectNothingSaid({ smtp, on, mail, log, health }: Tried, code: string): Promise<void> {
  const text = smtp.clearText();
  for (const secret of [...secretForms, mail.address, "Anna", "AUTH", "MAIL FROM", "/verify/"]) {
    expect(text).not.toContain(secret);
  }
  expect([smtp.taken, smtp.recipients]).toEqual([[], []]);
  expect(await mailRow(on, mail)).toMatchObject({ status: "queued", last_error: expect.stringContaining(code) });
  expect(log.text()).toContain(`the SMTP server takes no mail: ${code}`);
  expect(log.text()).not.toMatch(/canary|@/);
  expect(await health()).toBe("degraded");
}

describe("12.3 a mail where TLS is required", () => {
  const required = { EMAIL_REQUIRE_TLS: "True" };

  test("the server offers none: the mail waits, the operator learns why, and nothing is said in the clear", async () => {
    await expectNothingSaid(await trySending({}, required), "ETLS");
  });

  test("somebody in between took STARTTLS out and answers it with nonsense: the same", async () => {
    const script = (step: string) => (step === "STARTTLS" ? ("454 not now" as const) : undefined);
    await expectNothingSaid(await trySending({ tls: certificate, script }, required), "ETLS");
  });

  test("a certificate of an authority that nobody knows: the same", async () => {
    await expectNothingSaid(await trySending({ tls: certificate }, required), "E");
  });

  test("a certificate of another authority than the configured one: the same", async () => {
    const other = await createAuthority("Another CA");
    await expectNothingSaid(await trySending({ tls: certificate }, { ...required, ca: other.cert }), "E");
  });

  test("STARTTLS with a certificate of the configured authority: sent, sign-in and mail encrypted", async () => {
    const { smtp, on, mail, health } = await trySending({ tls: certificate }, { ...required, ca: authority.cert });
    expect(await mailRow(on, mail)).toMatchObject({ status: "sent" });
    expect(smtp.taken.map(({ to, isSecure }) => [to, isSecure])).toEqual([[[mail.address], true]]);
    expect(smtp.steps).toContain("AUTH");
    for (const secret of [...secretForms, mail.address, "AUTH", "MAIL FROM"])
      expect(smtp.clearText()).not.toContain(secret);
    expect(await health()).toBe("ok");
  });
});

describe("12.3 EMAIL_USE_SSL", () => {
  test("TLS from the first byte: sent", async () => {
    const server = { tls: certificate, implicitTls: true };
    const { smtp, on, mail } = await trySending(server, { EMAIL_USE_SSL: "True", ca: authority.cert });
    expect(await mailRow(on, mail)).toMatchObject({ status: "sent" });
    expect(smtp.taken.map(({ isSecure }) => isSecure)).toEqual([true]);
  });

  test("a server that speaks plain text: the mail waits, and nothing is said in the clear", async () => {
    await expectNothingSaid(await trySending({}, { EMAIL_USE_SSL: "True", ca: authority.cert }), "E");
  });
});
