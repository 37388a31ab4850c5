import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { constants, setPriority } from "node:os";
import { setImmediate as turn } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** What connections did that a flood had opened. */
export interface Aftermath {
  /** Status of the first answer, or "closed" without one -> how many. */
  readonly answers: Readonly<Record<string, number>>;
  /** How long the last one stayed open. */
  readonly longestMs: number;
  /** How much could be sent, in megabytes. */
  readonly megabytes: number;
}
export type FloodName = keyof typeof floods;
interface Order {
  readonly name: FloodName;
  readonly port: number;
  readonly token: string;
  /** After which this side hangs up, counted as "open". */
  readonly patienceMs?: number;
}

const host = "Host: flood\r\n";
const asJson = "Content-Type: application/json\r\n";
const post = (path: string, ...headers: string[]): string =>
  `POST ${path} HTTP/1.1\r\n${host}${asJson}${headers.join("")}\r\n`;
const upload = (...headers: string[]): string =>
  `PUT /api/v1/users/current/image/ HTTP/1.1\r\n${host}${headers.join("")}Content-Type: multipart/form-data; boundary=x\r\n\r\n`;
const filePart = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n';
const chunked = "Transfer-Encoding: chunked\r\n";
const hundredMegabytes = 100 * 1024 * 1024;
const length = (bytes: number): string => `Content-Length: ${bytes}\r\n`;
const login = "/api/v1/tokens/";
const slowHeaders = `GET /health/live HTTP/1.1\r\n${host}X-Slow: `;

interface Flood {
  readonly connections: number;
  readonly attack: (socket: Socket, token: string, nth: number) => Promise<void> | void;
}
/** Each by itself on one machine; a connection sends until it is closed. */
export const floods = {
  "slow headers and bodies": {
    connections: 2000,
    attack: (socket, _, nth) => trickle(socket, nth % 2 === 0 ? slowHeaders : post(login, length(16_000))),
  },
  "endless headers": {
    connections: 500,
    attack: (socket) => pour(socket, `GET / HTTP/1.1\r\n${host}`, (nth) => `x-${nth}: ${"a".repeat(1000)}\r\n`),
  },
  "10,000 empty headers": {
    connections: 500,
    attack: (socket) => void socket.write(`GET / HTTP/1.1\r\n${host}${"a:\r\n".repeat(10_000)}\r\n`),
  },
  "100 MB of JSON": {
    connections: 100,
    attack: (socket) => pour(socket, post(login, length(hundredMegabytes)), zeros),
  },
  "100 MB of JSON in chunks": { connections: 100, attack: (socket) => pour(socket, post(login, chunked), chunk) },
  "100 MB for a path that there is not": {
    connections: 100,
    attack: (socket) => pour(socket, post("/nothing/", length(hundredMegabytes)), zeros),
  },
  "100 MB in chunks with a GET": {
    connections: 100,
    attack: (socket) => pour(socket, `GET /health/live HTTP/1.1\r\n${host}${chunked}\r\n`, chunk),
  },
  "100 MB as a picture, not signed in": {
    connections: 100,
    attack: (socket) => pour(socket, upload(chunked), chunk),
  },
  "100 MB as a picture, signed in": {
    connections: 100,
    attack: (socket, token) => {
      const authorization = `Authorization: Bearer ${token}\r\n`;
      const part = `${filePart.length.toString(16)}\r\n${filePart}\r\n`;
      return pour(socket, upload(authorization, chunked) + part, chunk);
    },
  },
  "a thousand requests in a pipeline, answers not read": {
    connections: 50,
    attack: (socket) => {
      socket.pause();
      return pour(socket, "", () => `GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n${host}\r\n`.repeat(1000), 10);
    },
  },
} as const satisfies Record<string, Flood>;

const block = Buffer.alloc(64 * 1024, "0").toString("latin1");
const zeros = (): string => block;
const chunk = (): string => `${block.length.toString(16)}\r\n${block}\r\n`;

/** A byte a second. */
function trickle(socket: Socket, beginning: string): void {
  socket.write(beginning);
  const timer = setInterval(() => socket.write("a"), 1000);
  socket.once("close", () => clearInterval(timer));
}

/** As fast as the other side takes it, 100 MB at the most; all connections side by side, and not each a few MB at once. */
async function pour(socket: Socket, beginning: string, more: (nth: number) => string, limit = 1600): Promise<void> {
  socket.write(beginning);
  for (let nth = 0; nth < limit && !socket.destroyed && socket.writable; nth++) {
    if (!socket.write(more(nth))) await drained(socket);
    await turn();
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const goOn = (): void => {
      socket.off("drain", goOn).off("close", goOn);
      resolve();
    };
    socket.on("drain", goOn).on("close", goOn);
  });
}

async function flood({ name, port, token, patienceMs = 25_000 }: Order): Promise<Aftermath> {
  const { connections, attack }: Flood = floods[name];
  const answers: Record<string, number> = {};
  let [longestMs, bytes] = [0, 0];
  const one = async (nth: number): Promise<void> => {
    const began = performance.now();
    let text = "";
    let outcome = "closed";
    const socket = connect(port, "127.0.0.1");
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    // An answer, or the end of what it reads, is the end of the attack; a reset is one way of hanging up.
    socket.on("data", (part) => (text = (text + part.toString("latin1")).slice(0, 100)));
    socket.on("error", () => undefined).once("end", () => socket.destroy());
    const impatient = setTimeout(() => {
      outcome = "open";
      socket.destroy();
    }, patienceMs);
    socket.once("connect", () => void Promise.resolve(attack(socket, token, nth)).catch(() => undefined));
    await closed;
    clearTimeout(impatient);
    outcome = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? outcome;
    answers[outcome] = (answers[outcome] ?? 0) + 1;
    longestMs = Math.max(longestMs, performance.now() - began);
    bytes += socket.bytesWritten;
  };
  await Promise.all(Array.from({ length: connections }, (_, nth) => one(nth)));
  return { answers, longestMs: Math.round(longestMs), megabytes: Math.round(bytes / 1e6) };
}

export interface Flooder {
  flood(order: Order): Promise<Aftermath>;
  close(): Promise<void>;
}

/**
 * Floods from a thread of its own: whoever measures beside it is not held up by it.
 * @param options.inBackground an attacker has machines of his own: here he gets what nobody else wants of this one
 */
export function openFlooder({ inBackground = false } = {}): Flooder {
  const worker = new Worker(new URL(import.meta.url), { workerData: { inBackground } satisfies Settings });
  return {
    flood: async (order) => {
      worker.postMessage(order);
      return ((await once(worker, "message")) as [Aftermath])[0];
    },
    close: async () => {
      await worker.terminate();
    },
  };
}

/** A single one. */
export async function startFlood(order: Order): Promise<Aftermath> {
  const flooder = openFlooder();
  try {
    return await flooder.flood(order);
  } finally {
    await flooder.close();
  }
}

interface Settings {
  readonly inBackground: boolean;
}

const settings = workerData as Settings | null;
if (!isMainThread && parentPort && settings) {
  const orders = parentPort;
  // On Linux a priority is a thread's own.
  if (settings.inBackground) setPriority(constants.priority.PRIORITY_LOW);
  orders.on("message", (order: Order) => void flood(order).then((aftermath) => orders.postMessage(aftermath)));
}
