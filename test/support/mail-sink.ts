import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import type { SunkMail } from "./oracle.ts";

export interface MailSink {
  readonly port: number;
  /** Everything it has taken, in its order. */
  readonly mails: () => Promise<readonly SunkMail[]>;
  /** While true every mail is answered with 451: come again later. */
  refuseForNow(isSo: boolean): void;
  stop(): Promise<void>;
}

/** An SMTP server on loopback that keeps of each mail who it is for and its Message-ID, however many there are. */
export async function startMailSink(): Promise<MailSink> {
  const taken: SunkMail[] = [];
  let refusing = false;
  const server = new SMTPServer({
    disabledCommands: ["STARTTLS", "AUTH"],
    authOptional: true,
    disableReverseLookup: true,
    closeTimeout: 200,
    onData(stream, { envelope }, done) {
      let text = "";
      stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      stream.once("end", () => {
        if (refusing) {
          done(Object.assign(new Error("come again later"), { responseCode: 451 }));
          return;
        }
        const messageId = /^message-id:\s*<([^>]+)>/im.exec(text)?.[1];
        taken.push({ messageId, to: envelope.rcptTo.map(({ address }) => address) });
        done();
      });
    },
  });
  server.on("error", () => undefined);
  const listener = server.listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    port: (listener.address() as AddressInfo).port,
    mails: () => Promise.resolve(taken),
    refuseForNow: (isSo) => void (refusing = isSo),
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
