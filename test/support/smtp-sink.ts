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
  options: { port?: number; tls?: Certificate; implicitTls?: boolean; offersAuth?: boolean; script?: Script } = {},
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
    if (options.implicitTls === true && options.tls)
      secured(socket, options.tls, { ...options, ask, sink }, "220 sink");
    else converse(socket, { ...options, ask, sink, isSecure: false }, "220 sink");
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

function secured(socket: Socket, tls: Certificate, talk: Omit<Conversation, "isSecure">, greeting?: string): void {
  const secure = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(tls) });
  secure.on("error", () => socket.destroy());
  converse(secure, { ...talk, isSecure: true }, greeting);
}

function converse(socket: Socket, talk: Conversation, greeting?: string): void {
  let envelope = { from: "", to: [] as string[] };
  let message: string[] | undefined;
  const lines = createInterface({ input: socket, crlfDelay: Infinity });
  // It tells its input's errors once more.
  lines.on("error", () => undefined);

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
    secured(socket, tls, talk);
  };
  const endOfMessage = (raw: string): void => {
    const reply = talk.ask("MESSAGE", envelope.to.join());
    if (reply === undefined || reply === "take and drop" || typeof reply === "object") keep(raw);
    say(reply, "250 taken");
  };

  const commands: Readonly<Record<string, (address: string) => void>> = {
    EHLO: () => say(talk.ask("EHLO"), features().join("\r\n")),
    STAR: () => {
      const { tls } = talk;
      if (tls) say(talk.ask("STARTTLS"), "220 go on", () => upgrade(tls));
      else say("502 no TLS here", "");
    },
    AUTH: () => say(talk.ask("AUTH"), "235 welcome"),
    MAIL: (from) => say(talk.ask("MAIL"), "250 ok", () => void (envelope = { from, to: [] })),
    RCPT: (to) => {
      talk.sink.recipients.push(to);
      say(talk.ask("RCPT", to), "250 ok", () => void envelope.to.push(to));
    },
    DATA: () => say(talk.ask("DATA", envelope.to.join()), "354 go on", () => void (message = [])),
    RSET: () => say(undefined, "250 ok"),
    QUIT: () => say(undefined, "221 bye", () => void socket.end()),
  };
  lines.on("line", (line) => {
    if (!message) {
      const answer = commands[line.slice(0, 4).toUpperCase()] ?? (() => say(undefined, "500 what?"));
      answer(/<(.*)>/.exec(line)?.[1] ?? "");
    } else if (line !== ".") {
      message.push(line.replace(/^\./, ""));
    } else {
      const raw = message.join("\r\n");
      message = undefined;
      endOfMessage(raw);
    }
  });
  if (greeting !== undefined) say(talk.ask("CONNECT"), greeting);
}
