import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test } from "@jest/globals";
import { PatientServer } from "../../../../services/api-gateway/patient-server.ts";

let server: Server;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  server.close();
});

/** What was asked for, in the order in which it was handled. */
async function start(of: (handle: ConstructorParameters<typeof PatientServer>[1]) => Server): Promise<string[]> {
  const handled: string[] = [];
  server = of((request, response) => {
    handled.push(request.url ?? "");
    response.end("done");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return handled;
}
const patient = (headersTimeout = 10_000) =>
  start((handle) => new PatientServer({ headersTimeout, maxHeaderSize: 8192 }, handle));

async function open(): Promise<Socket> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  sockets.push(socket.on("error", () => undefined));
  await once(socket, "connect");
  return socket;
}
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const openConnections = (): Promise<number> =>
  new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A hundred newcomers and one who is known, all at once and he last. @returns when he was handled */
async function placeOfTheKnownOne(handled: string[]): Promise<number> {
  const known = await open();
  known.write(get("/first"));
  await once(known, "data");
  const newcomers = await Promise.all(Array.from({ length: 100 }, open));
  await until(async () => (await openConnections()) === 101);
  for (const newcomer of newcomers) newcomer.write(get("/newcomer"));
  known.write(get("/known"));
  await until(() => Promise.resolve(handled.length === 102));
  return handled.indexOf("/known");
}

describe("newcomers", () => {
  test("whoever is known comes in between them", async () => {
    expect(await placeOfTheKnownOne(await patient())).toBeLessThan(10);
  });

  test("Node's own server would handle all of them first", async () => {
    expect(await placeOfTheKnownOne(await start((handle) => createServer(handle)))).toBe(101);
  });

  test("whoever begins does not wait for those who go on", async () => {
    const handled = await patient();
    const [slow, fast] = [await Promise.all(Array.from({ length: 50 }, open)), await open()];
    for (const socket of slow) socket.write(get("/slow").slice(0, -1));
    // Who comes after them is answered when they have been heard.
    const after = await open();
    after.write(get("/after"));
    await once(after, "data");
    for (const socket of slow) socket.write("\n");
    fast.write(get("/fast"));
    await until(() => Promise.resolve(handled.length === 52));
    expect(handled.indexOf("/fast")).toBeLessThan(10);
  });

  test("a request in many pieces, and several in one piece, are handled in their order", async () => {
    const handled = await patient();
    const socket = await open();
    for (const piece of `${get("/a")}${get("/b")}${get("/c")}`.match(/[^]{1,7}/g) ?? []) {
      socket.write(piece);
      await new Promise(setImmediate);
    }
    const other = await open();
    other.write(get("/d") + get("/e"));
    await until(() => Promise.resolve(handled.length === 5));
    expect(handled.filter((path) => path < "/d")).toEqual(["/a", "/b", "/c"]);
    expect(handled.filter((path) => path >= "/d")).toEqual(["/d", "/e"]);
  });

  test("more than is read at once arrives whole, in its order", async () => {
    const sent = Array.from({ length: 60_000 }, (_, nth) => String(nth)).join();
    let received = "";
    await start(
      () =>
        new PatientServer({ headersTimeout: 1000, maxHeaderSize: 8192 }, (request, response) => {
          request.setEncoding("latin1").on("data", (part: string) => (received += part));
          request.once("end", () => response.end());
        }),
    );
    const socket = await open();
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${sent.length}\r\n\r\n${sent}`);
    await once(socket, "data");
    expect(received).toBe(sent);
  });

  test("what came with the first headers is not kept with the connection", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const handled = await patient();
    const body = "p".repeat(8000);
    const held = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      collect();
      return process.memoryUsage().arrayBuffers;
    };
    const before = await held();
    const sockets = await Promise.all(Array.from({ length: 200 }, open));
    for (const socket of sockets) socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n${body}`);
    await until(() => Promise.resolve(handled.length === 200));
    await until(async () => (await held()) - before < 100 * 8000);
    expect(await openConnections()).toBe(200);
  });

  test("one who hangs up before his turn is still known by his address", async () => {
    const addresses: (string | undefined)[] = [];
    await start(
      () =>
        new PatientServer({ headersTimeout: 1000, maxHeaderSize: 8192 }, ({ socket }) =>
          addresses.push(socket.remoteAddress),
        ),
    );
    const sockets = await Promise.all(Array.from({ length: 30 }, open));
    await until(async () => (await openConnections()) === 30);
    for (const socket of sockets) socket.write(get("/"));
    server.once("request", () => sockets.forEach((socket) => socket.resetAndDestroy()));
    await until(async () => (await openConnections()) === 0);
    expect(addresses.length).toBeGreaterThan(0);
    expect(new Set(addresses)).toEqual(new Set(["127.0.0.1"]));
  });

  test("one who sends and closes his side at once gets his answer", async () => {
    await patient();
    const socket = await open();
    socket.end(get("/"));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
  });
});

/** @returns why, and how many bytes were read of him */
async function refusal(): Promise<{ code: string; bytesRead: number }> {
  const [{ code }, socket] = (await once(server, "clientError")) as [Error & { code: string }, Socket];
  const { bytesRead } = socket;
  socket.destroy();
  return { code, bytesRead };
}

describe("first headers", () => {
  test("of 100 KB: refused when there are more than may be, and not read on", async () => {
    const handled = await patient();
    const refused = refusal();
    (await open()).write(`GET / HTTP/1.1\r\n${"a: b\r\n".repeat(17_000)}\r\n`);
    const { code, bytesRead } = await refused;
    expect(code).toBe("HPE_HEADER_OVERFLOW");
    expect(bytesRead).toBeLessThanOrEqual(20 * 1024);
    expect(handled).toEqual([]);
  });

  test.each([[[8600]], [[8300, 300]], [[1, 8400, 199]]])(
    "of 8.6 KB, less than 8 KB of them names and values, in pieces of %j: read",
    async (sizes) => {
      const handled = await patient();
      const line = `X-A: ${"a".repeat(33)}\r\n`;
      const head = `GET /much HTTP/1.1\r\nHost: a\r\n${line.repeat(214)}`;
      const whole = `${head}X-B: ${"b".repeat(8600 - head.length - 9)}\r\n\r\n`;
      const socket = await open();
      let at = 0;
      for (const size of sizes) {
        socket.write(whole.slice(at, (at += size)));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const [answer] = (await once(socket, "data")) as [Buffer];
      expect([whole.length, answer.toString("latin1", 0, 15), handled]).toEqual([8600, "HTTP/1.1 200 OK", ["/much"]]);
    },
  );

  test("whose last piece makes them too long: refused by Node's own count", async () => {
    await patient();
    const refused = refusal();
    (await open()).write(`GET / HTTP/1.1\r\n${"a: b\r\n".repeat(1400)}\r\n`);
    expect((await refused).code).toBe("HPE_HEADER_OVERFLOW");
  });

  test("that come byte by byte have no longer than others", async () => {
    await patient(200);
    const refused = refusal();
    const socket = await open();
    const trickle = setInterval(() => socket.write("a"), 20);
    socket.write("GET / HTTP/1.1\r\nHost: ");
    expect((await refused).code).toBe("ERR_HTTP_REQUEST_TIMEOUT");
    clearInterval(trickle);
  });

  test("that break off: refused", async () => {
    await patient();
    const refused = refusal();
    (await open()).end("GET / HTTP/1.1\r\nHo");
    expect((await refused).code).toBe("HPE_INVALID_EOF_STATE");
  });

  test.each([
    ["a TLS client says", "\x16\x03\x01\x00"],
    ["is written small", "get / HTTP/1.1\r\n"],
    ["is a line feed", "\n"],
    ["are two empty lines", "\r\n\r\n"],
  ])("no method, as %s: refused without waiting for more", async (_, bytes) => {
    await patient();
    const refused = refusal();
    (await open()).write(bytes, "latin1");
    expect((await refused).code).toBe("HPE_INVALID_METHOD");
  });

  test("after an empty line are first headers", async () => {
    const handled = await patient();
    const socket = await open();
    socket.write(`\r\n${get("/")}`);
    await once(socket, "data");
    expect(handled).toEqual(["/"]);
  });

  test("that the parser refuses: once, and nothing more is read", async () => {
    await patient();
    const refused: Socket[] = [];
    server.on("clientError", (_, socket: Socket) => refused.push(socket.pause()));
    const socket = await open();
    const bad = "GET / HTTP/1.1\r\nno header\r\n\r\n";
    socket.write(bad);
    await once(server, "clientError");
    socket.write("a".repeat(6000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(refused.map(({ bytesRead }) => bytesRead)).toEqual([bad.length]);
  });

  test("that are only begun are no reason to stay when all connections are closed", async () => {
    await patient();
    const accepted = once(server, "connection");
    (await open()).write("GET / HTTP/1.1\r\nHo");
    await accepted;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
    expect(await openConnections()).toBe(0);
  });

  test("that were not their turn yet when all connections are closed are no request any more", async () => {
    const wereOpen: boolean[] = [];
    const handled = await start(
      (handle) =>
        new PatientServer({ headersTimeout: 1000, maxHeaderSize: 8192 }, (request, response) => {
          wereOpen.push(!request.socket.destroyed);
          if (wereOpen.length === 1) setTimeout(() => server.closeAllConnections(), 0);
          // So that it is time at the beginning of the next turn.
          for (const end = performance.now() + 3; performance.now() < end;);
          handle(request, response);
        }),
    );
    const sockets = await Promise.all(Array.from({ length: 100 }, open));
    await until(async () => (await openConnections()) === 100);
    for (const socket of sockets) socket.write(get("/"));
    await until(async () => (await openConnections()) === 0);
    expect(handled.length).toBeLessThan(100);
    expect(wereOpen).not.toContain(false);
  });

  test("that come to a server that closes and is busy: the request is answered", async () => {
    const handled = await patient();
    const socket = await open();
    await until(async () => (await openConnections()) === 1);
    server.close();
    const end = performance.now() + 150;
    await new Promise((resolve) => setTimeout(resolve, 60));
    await new Promise(setImmediate);
    socket.write(get("/"));
    while (performance.now() < end);
    await once(socket, "data");
    expect(handled).toEqual(["/"]);
  });

  test("that are on their way when the server closes: the request is answered", async () => {
    const handled = await patient();
    const socket = await open();
    await until(async () => (await openConnections()) === 1);
    socket.write(get("/"));
    server.close();
    await once(socket, "data");
    expect(handled).toEqual(["/"]);
  });

  test("that are only begun when the server closes: the request is heard to its end and answered", async () => {
    const handled = await patient();
    const [socket, other] = [await open(), await open()];
    socket.write("GET /begun HTTP/1.1\r\nHo");
    await until(async () => (await openConnections()) === 2);
    const answered = once(other, "data");
    other.write(get("/after"));
    await answered;
    server.close();
    socket.write("st: a\r\n\r\n");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
    expect(handled).toEqual(["/after", "/begun"]);
  });

  test("that came, but were not their turn yet when the server closes: all are answered", async () => {
    const handled = await patient();
    const sockets = await Promise.all(Array.from({ length: 50 }, open));
    await until(async () => (await openConnections()) === 50);
    const answers = sockets.map((socket) => once(socket, "data"));
    for (const socket of sockets) socket.write(get("/"));
    await until(() => Promise.resolve(handled.length > 0));
    server.close();
    await Promise.all(answers);
    expect(handled).toHaveLength(50);
  });
});

describe("who says nothing", () => {
  test("is told off when the time is over", async () => {
    await patient(50);
    const refused = refusal();
    await open();
    expect((await refused).code).toBe("ERR_HTTP_REQUEST_TIMEOUT");
  });

  test.each([
    ["closes", (socket: Socket) => socket.end()],
    ["is gone", (socket: Socket) => socket.resetAndDestroy()],
  ])("and %s leaves nothing behind", async (_, leave) => {
    await patient();
    const socket = await open();
    await until(async () => (await openConnections()) === 1);
    leave(socket);
    await until(async () => (await openConnections()) === 0);
    expect(await openConnections()).toBe(0);
  });

  test("does not hold up the end", async () => {
    await patient();
    const socket = await open();
    await until(async () => (await openConnections()) === 1);
    const [closed, gone] = [once(server, "close"), once(socket, "close")];
    server.close();
    await closed;
    await gone;
    expect(await openConnections()).toBe(0);
  });
});
