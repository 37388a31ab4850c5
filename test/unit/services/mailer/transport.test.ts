import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { createTransport, type MailTransport, type OutgoingMail } from "../../../../services/mailer/transport.ts";
import { startSmtpSink, type SmtpSink } from "../../../support/smtp-sink.ts";
import { config, rejection } from "../../helpers.ts";

/** What nodemailer does unless it is told otherwise (SECURITY.md, 1.8). */
let sink: SmtpSink;
let transport: MailTransport;
beforeEach(async () => {
  sink = await startSmtpSink();
  const { mail } = config({ EMAIL_HOST: "127.0.0.1", EMAIL_PORT: String(sink.port), EMAIL_REQUIRE_TLS: "False" });
  transport = createTransport(mail!, "Eat Express");
});
afterEach(async () => {
  jest.useRealTimers();
  transport.close();
  await sink.stop();
});

const own = "anna@example.com";
const mail = { to: own, messageId: "1@example.com", subject: "Hello", text: "Hello", html: "<p>Hello</p>" };
/** What a template could become that took an object from somebody. */
const withHtml = (html: object) => ({ ...mail, html }) as unknown as OutgoingMail;

describe("a mail", () => {
  test("goes to its one address", async () => {
    await transport.send(mail);
    expect(sink.taken).toMatchObject([{ from: "no-reply@example.com", to: [own], messageId: mail.messageId }]);
  });

  test.each([
    `${own}, eve@evil.example`,
    `${own}; eve@evil.example`,
    `<eve@evil.example> ${own}`,
    `${own}\r\nBcc: eve@evil.example`,
    `${own}>\r\nRCPT TO:<eve@evil.example`,
    `group: ${own}, eve@evil.example;`,
    `Anna <eve@evil.example>`,
    `eve@evil.example(${own})`,
  ])("%j is no list, no header and no command: nobody else gets it", async (to) => {
    await transport.send({ ...mail, to }).catch(() => undefined);
    expect(sink.recipients).not.toContain("eve@evil.example");
    expect(sink.clearText()).not.toMatch(/^(?:RCPT TO:<eve@|Bcc:)/im);
    // The connection still knows where a command ends.
    await transport.send(mail);
    expect(sink.taken.at(-1)?.to).toEqual([own]);
  });

  test("never holds a file of this machine", async () => {
    const error = await rejection(transport.send(withHtml({ path: import.meta.filename })));
    expect(String(error)).toMatch(/File access rejected/);
    expect(sink.taken).toEqual([]);
  });

  test("never makes this machine ask another one", async () => {
    let asked = 0;
    const inside = createServer((socket) => {
      asked++;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await once(inside, "listening");
    const { port } = inside.address() as AddressInfo;
    const error = await rejection(transport.send(withHtml({ href: `http://127.0.0.1:${port}/secrets` })));
    inside.close();
    expect(String(error)).toMatch(/Url access rejected/);
    expect([asked, sink.taken]).toEqual([0, []]);
  });
});

test("a server that says nothing is given up after ten seconds, not after minutes", async () => {
  sink.follow(() => "hang");
  jest.useFakeTimers({ doNotFake: ["setImmediate", "nextTick", "performance"] });
  const state = { ended: "not yet" };
  const sent = transport.send(mail).catch((error: unknown) => (state.ended = String(error)));
  while (sink.steps.length === 0) await turn();
  jest.advanceTimersByTime(9000);
  await turn();
  expect(state.ended).toBe("not yet");
  jest.advanceTimersByTime(2000);
  await sent;
  expect(state.ended).toMatch(/greeting/i);
});
