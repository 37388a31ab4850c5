import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
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
const patient = (headersTimeout = 10_000) => start((handle) => new PatientServer({ headersTimeout }, handle));

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
        new PatientServer({ headersTimeout: 1000 }, (request, response) => {
          request.setEncoding("latin1").on("data", (part: string) => (received += part));
          request.once("end", () => response.end());
        }),
    );
    const socket = await open();
    socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${sent.length}\r\n\r\n${sent}`);
    await once(socket, "data");
    expect(received).toBe(sent);
  });

  test("one who sends and closes his side at once gets his answer", async () => {
    await patient();
    const socket = await open();
    socket.end(get("/"));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe("who says nothing", () => {
  test("is told off when the time is over", async () => {
    await patient(50);
    const told = once(server, "clientError") as Promise<[Error & { code: string }, Socket]>;
    await open();
    const [error, socket] = await told;
    expect(error.code).toBe("ERR_HTTP_REQUEST_TIMEOUT");
    socket.destroy();
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
    const closed = once(server, "close");
    server.close();
    await closed;
    expect(socket.destroyed || (await once(socket, "close"))).toBeTruthy();
  });
});
