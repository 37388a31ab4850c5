import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { frame } from "../../../../mixins/transporter/frames.ts";
import { TcpLink } from "../../../../mixins/transporter/tcp-link.ts";
import { errorType } from "../../../../lib/errors.ts";
import { rejection } from "../../helpers.ts";

let near: Socket;
let far: Socket;
beforeEach(async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  [far] = (await once(server, "connection")) as [Socket];
  server.close();
});
afterEach(() => {
  near.destroy();
  far.destroy();
  jest.restoreAllMocks();
});

describe("TcpLink: between two nodes", () => {
  test("packets arrive in order, also those that are longer than a stranger's may be", async () => {
    const received: string[] = [];
    const link = new TcpLink(near, "dialed", () => undefined);
    const other = new TcpLink(far, "accepted", (type, data) => {
      other.peer ??= "near";
      received.push(`${type} ${data.length}`);
      if (received.length === 3) far.emit("all");
    });
    const sizes = [10, 100_000, 4_000_000];
    const all = once(far, "all");
    await Promise.all(sizes.map((size) => link.send("REQ", Buffer.alloc(size))));
    await all;
    expect(received).toEqual(sizes.map((size) => `REQ ${size}`));
  });

  test("what the receiver cannot bear ends the connection and not the process", async () => {
    const link = new TcpLink(near, "dialed", () => undefined);
    new TcpLink(far, "accepted", () => {
      throw new Error("not understood");
    });
    void link.send("REQ", Buffer.from("x"));
    await once(near, "close");
    expect(link.isOpen).toBe(false);
    expect(errorType(await rejection(link.send("REQ", Buffer.from("x"))))).toBe("BAD_GATEWAY");
  });

  test("one who does not read is hung up on, before what waits for him fills the memory", async () => {
    const link = new TcpLink(near, "dialed", () => undefined);
    far.pause();
    const megabytes: Promise<void>[] = [];
    while (link.isOpen && megabytes.length < 100) {
      const sent = link.send("REQ", Buffer.alloc(1024 * 1024));
      sent.catch(() => undefined);
      megabytes.push(sent);
    }
    expect(megabytes.length).toBeLessThan(30);
    const results = await Promise.allSettled(megabytes);
    expect(results.some(({ status }) => status === "rejected")).toBe(true);
  });

  test("one from whom nothing has come for 20 s is hung up on", async () => {
    const link = new TcpLink(near, "dialed", () => undefined);
    await link.send("HEARTBEAT", Buffer.from("x"));
    const later = performance.now() + 20_001;
    jest.spyOn(performance, "now").mockReturnValue(later);
    await rejection(link.send("HEARTBEAT", Buffer.from("x")));
    expect(link.isOpen).toBe(false);
  });

  test("bytes of a packet that never ends are no sign of life: only what was opened is", async () => {
    const link = new TcpLink(near, "dialed", () => link.heard());
    await link.send("HEARTBEAT", Buffer.from("x"));
    const start = performance.now();
    const now = jest.spyOn(performance, "now").mockReturnValue(start + 15_000);
    far.write(Buffer.concat([frame("HEARTBEAT", Buffer.from("x")), Buffer.of(0)]));
    await once(near, "data");
    await link.send("HEARTBEAT", Buffer.from("x"));
    now.mockReturnValue(start + 30_000);
    far.write(Buffer.of(0));
    await once(near, "data");
    await link.send("HEARTBEAT", Buffer.from("x"));
    expect(link.isOpen).toBe(true);
    now.mockReturnValue(start + 36_000);
    await rejection(link.send("HEARTBEAT", Buffer.from("x")));
    expect(link.isOpen).toBe(false);
  });

  test("nothing was said for long: silence counts from what is said next", async () => {
    const link = new TcpLink(near, "dialed", () => undefined);
    const later = performance.now() + 60_000;
    jest.spyOn(performance, "now").mockReturnValue(later);
    await link.send("HEARTBEAT", Buffer.from("x"));
    expect(link.isOpen).toBe(true);
  });
});
