import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { eventually } from "../../support/eventually.ts";
import { startTcpProxy, type TcpProxy } from "../../support/tcp-proxy.ts";

let echo: Server;
let proxy: TcpProxy;
const clients: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => socket.on("error", () => undefined).pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await startTcpProxy({ host: "127.0.0.1", port: (echo.address() as AddressInfo).port });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.stop();
  echo.close();
});

interface Caller {
  readonly socket: Socket;
  readonly heard: () => string;
  readonly ended: Promise<string>;
}
async function call(): Promise<Caller> {
  const socket = connect(proxy.port, "127.0.0.1");
  clients.push(socket);
  let heard = "";
  let problem = "closed";
  socket.setEncoding("utf8").on("data", (text: string) => (heard += text));
  socket.on("error", (error: NodeJS.ErrnoException) => (problem = error.code ?? ""));
  const ended = new Promise<string>((resolve) => socket.on("close", () => resolve(problem)));
  await once(socket, "connect");
  return { socket, heard: () => heard, ended };
}
const hears = ({ heard }: Caller, text: string) =>
  eventually(`it hears ${text.length} bytes`, () => (heard() === text ? true : undefined));
const exchange = async (caller: Caller, text: string): Promise<number> => {
  const began = performance.now();
  caller.socket.write(text);
  await hears(caller, text);
  return performance.now() - began;
};

describe("the TCP proxy", () => {
  test("without a fault: everything passes, in order", async () => {
    const text = "0123456789".repeat(100_000);
    await exchange(await call(), text);
  });

  test("cut: connections break, the next one works", async () => {
    const broken = await call();
    await exchange(broken, "a");
    proxy.cut();
    await broken.ended;
    await exchange(await call(), "b");
  });

  test("refuse: connections break, the next one is refused until it is restored", async () => {
    const broken = await call();
    await proxy.refuse();
    await broken.ended;
    await expect(call()).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await proxy.restore();
    await exchange(await call(), "a");
  });

  test("black hole: nothing comes back, also on later connections, and restoring breaks them", async () => {
    const early = await call();
    await exchange(early, "a");
    proxy.blackhole();
    const late = await call();
    for (const { socket } of [early, late]) socket.write("b");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([early.heard(), late.heard()]).toEqual(["a", ""]);
    await proxy.restore();
    await Promise.all([early.ended, late.ended]);
    await exchange(await call(), "c");
  });

  test("delay: each way takes so long, and nothing overtakes", async () => {
    proxy.delay(60);
    const caller = await call();
    expect(await exchange(caller, "a")).toBeGreaterThanOrEqual(119);
    const words = Array.from({ length: 20 }, (_, word) => `${word};`);
    for (const word of words) {
      caller.socket.write(word);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    await hears(caller, `a${words.join("")}`);
  });

  test("throttle: takes as long as the bytes say", async () => {
    proxy.throttle(100_000);
    expect(await exchange(await call(), "x".repeat(20_000))).toBeGreaterThanOrEqual(199);
  });

  test("reset after so many bytes: RST in the middle of an answer", async () => {
    const caller = await call();
    await exchange(caller, "abc");
    proxy.resetAfter(6);
    caller.socket.write("defg");
    expect(await caller.ended).toBe("ECONNRESET");
    expect("abcde".startsWith(caller.heard())).toBe(true);
  });

  test("sever: the server has lost the one connection, its client waits, others live", async () => {
    const ports: number[] = [];
    const servers: Socket[] = [];
    echo.on("connection", (socket) => {
      ports.push(socket.remotePort ?? 0);
      servers.push(socket);
    });
    const [one, other] = [await call(), await call()];
    await exchange(one, "a");
    await exchange(other, "a");
    expect(proxy.sever(ports[0] ?? 0)).toBe(true);
    await eventually("the server has lost it", () => (servers[0]?.destroyed === true ? true : undefined));
    one.socket.write("b");
    other.socket.write("b");
    await hears(other, "ab");
    expect([one.heard(), one.socket.destroyed]).toEqual(["a", false]);
    expect(proxy.sever(1)).toBe(false);
  });
});
