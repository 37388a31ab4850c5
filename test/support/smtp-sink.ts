import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { createSecureContext, TLSSocket } from "node:tls";
import type { Certificate } from "./certificates.ts";

/** What the sink is asked; MESSAGE is the dot after the mail, before the 250. */
export type Step = "CONNECT" | "EHLO" | "STARTTLS" | "AUTH" | "MAIL" | "RCPT" | "DATA" | "MESSAGE";
/** An SMTP reply such as `451 later`; or breaking the connection, at MESSAGE also after having taken the mail; or silence. */
export type Reply = `${number} ${string}` | "drop" | "take and drop" | "hang" | { readonly afterMs: number };
/** @returns nothing where it should do what a server does */
export type Script = (step: Step, to: string) => Reply | undefined;

export interface TakenMail {
  readonly from: string;
  readonly to: readonly string[];
  /** Without angle brackets. */
  readonly messageId: string;
  readonly raw: string;
  readonly at: number;
  readonly isSecure: boolean;
}

export interface SmtpSink {
  readonly port: number;
  /** Every mail that it took, in order. */
  readonly taken: TakenMail[];
  /** Every step that it was asked, in order. */
  readonly steps: Step[];
  /** Recipients that were tried, refused ones included. */
  readonly recipients: string[];
  /** What clients said in the clear. */
  clearText(): string;
  /** What it does from now on. */
  follow(script: Script): void;
  takenFor(address: string): readonly TakenMail[];
  stop(): Promise<void>;
}

/** A real SMTP server on loopback that keeps what it takes, and can fail at every step of the conversation. */
export async function startSmtpSink(
  options: { port?: number; tls?: Certificate; offersAuth?: boolean; script?: Script } = {},
): Promise<SmtpSink> {
  let script = options.script ?? (() => undefined);
  const sockets = new Set<Socket>();
  const said: string[] = [];
  const sink = { taken: [] as TakenMail[], steps: [] as Step[], recipients: [] as string[] };

  const ask = (step: Step, to = ""): Reply | undefined => {
    sink.steps.push(step);
    return script(step, to);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => void said.push(bytes.toString("latin1")));
    converse(socket, { ...options, ask, sink, isSecure: false }, "220 sink");
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...sink,
    port: (server.address() as AddressInfo).port,
    clearText: () => said.join(""),
    follow: (next) => void (script = next),
    takenFor: (address) => sink.taken.filter(({ to }) => to.includes(address)),
    stop: async () => {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Conversation {
  readonly tls?: Certificate;
  readonly offersAuth?: boolean;
  readonly isSecure: boolean;
  readonly ask: (step: Step, to?: string) => Reply | undefined;
  readonly sink: { taken: TakenMail[]; recipients: string[] };
}

function converse(socket: Socket, talk: Conversation, greeting?: string): void {
  let envelope = { from: "", to: [] as string[] };
  let message: string[] | undefined;
  const lines = createInterface({ input: socket, crlfDelay: Infinity });

  const say = (reply: Reply | undefined, usual: string, then = (): void => undefined): void => {
    if (reply === "hang") return;
    if (reply === "drop" || reply === "take and drop") return void socket.destroy();
    if (typeof reply === "object") return void setTimeout(() => say(undefined, usual, then), reply.afterMs);
    socket.write(`${reply ?? usual}\r\n`);
    if (reply === undefined) then();
  };
  const features = () => [
    "250-sink",
    ...(talk.tls && !talk.isSecure ? ["250-STARTTLS"] : []),
    ...(talk.offersAuth === true ? ["250-AUTH PLAIN"] : []),
    "250 8BITMIME",
  ];
  const keep = (raw: string): void => {
    const messageId = /^Message-ID: <(.+)>/im.exec(raw)?.[1] ?? "";
    talk.sink.taken.push({ ...envelope, messageId, raw, at: Date.now(), isSecure: talk.isSecure });
  };
  const upgrade = (tls: Certificate): void => {
    lines.close();
    socket.removeAllListeners("data");
    const secure = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(tls) });
    secure.on("error", () => socket.destroy());
    converse(secure, { ...talk, isSecure: true });
  };
  const endOfMessage = (raw: string): void => {
    const reply = talk.ask("MESSAGE", envelope.to.join());
    if (reply === undefined || reply === "take and drop" || typeof reply === "object") keep(raw);
    say(reply, "250 taken");
  };

  lines.on("line", (line) => {
    if (message) {
      if (line !== ".") return void message.push(line.replace(/^\./, ""));
      const raw = message.join("\r\n");
      message = undefined;
      return endOfMessage(raw);
    }
    const verb = line.slice(0, 4).toUpperCase();
    const address = /<(.*)>/.exec(line)?.[1] ?? "";
    if (verb === "EHLO" || verb === "HELO") return say(talk.ask("EHLO"), features().join("\r\n"));
    if (verb === "STAR") {
      const { tls } = talk;
      return tls ? say(talk.ask("STARTTLS"), "220 go on", () => upgrade(tls)) : say(undefined, "502 no TLS here");
    }
    if (verb === "AUTH") return say(talk.ask("AUTH"), "235 welcome");
    if (verb === "MAIL") return say(talk.ask("MAIL"), "250 ok", () => (envelope = { from: address, to: [] }));
    if (verb === "RCPT") {
      talk.sink.recipients.push(address);
      return say(talk.ask("RCPT", address), "250 ok", () => void envelope.to.push(address));
    }
    if (verb === "DATA") return say(talk.ask("DATA", envelope.to.join()), "354 go on", () => (message = []));
    if (verb === "RSET" || verb === "NOOP") return say(undefined, "250 ok");
    if (verb === "QUIT") return say(undefined, "221 bye", () => socket.end());
    say(undefined, "500 what?");
  });
  if (greeting !== undefined) say(talk.ask("CONNECT"), greeting);
}
