import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { keyRing } from "../../lib/keys.ts";
import { frame } from "../../mixins/transporter/frames.ts";
import { PacketSeal } from "../../mixins/transporter/packet-seal.ts";
import { patiently, signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { residentMegabytes } from "../support/memory.ts";
import { password } from "../support/people.ts";
import { freePort } from "../support/ports.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** What a stranger may send, and for how long (mixins/transporter/tcp-link.ts). */
const strangerMaxBytes = 1024;
const strangerMs = 5000;

describe("SECURITY 71, TCP: the port that other nodes connect to, in the hands of a stranger", () => {
  let stand: TestStand;
  let port: number;
  let gateway: ServiceProcess;
  let backend: ServiceProcess;
  let person: Person;

  beforeAll(async () => {
    stand = await createStand();
    port = await freePort();
    const TRANSPORTER = `tcp://127.0.0.1:${port}`;
    const start = (SERVICES: string, own: number) =>
      startProcess({ ...stand.env, TRANSPORTER, SERVICES, TRANSPORTER_TCP_PORT: String(own) });
    backend = start("auth,users", port);
    gateway = start("api-gateway", 0);
    await Promise.all([gateway.ready(), backend.ready()]);
    person = await eventually("the nodes have found each other", async () => {
      const found = await signUp(stand);
      return (await found.client.get("/api/v1/users/current/")).status === 200 ? found : undefined;
    });
  }, 60_000);
  afterAll(async () => {
    await Promise.all([gateway.stop(), backend.stop()]);
    await stand.stop();
  }, 60_000);

  const open: Socket[] = [];
  const stranger = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1");
    open.push(socket);
    socket.on("error", () => undefined).resume();
    await once(socket, "connect");
    return socket;
  };
  const closed = async (socket: Socket): Promise<void> => {
    if (!socket.closed) await once(socket, "close");
  };
  /** Sends it and waits for the end of the connection. @returns milliseconds */
  const sendUntilClosed = async (bytes: Buffer): Promise<number> => {
    const began = performance.now();
    const socket = await stranger();
    socket.write(bytes);
    await closed(socket);
    return performance.now() - began;
  };
  const signIn = () =>
    patiently(() => stand.client().post("/api/v1/tokens/", { email: person.email, password })).then(
      ({ status }) => status,
    );
  const header = (length: number, type: number): Buffer => {
    const bytes = Buffer.alloc(5);
    bytes.writeUInt32BE(length);
    bytes[4] = type;
    return bytes;
  };
  const foreign = new PacketSeal(
    keyRing({ current: "somebody-else-0123456789-abcdefgh", previous: undefined }, "packet"),
    "x",
  );

  test.each([
    ["a length of 4 GB", header(2 ** 32 - 1, 3)],
    ["one byte more than a stranger may send", header(strangerMaxBytes + 1, 3)],
    ["a type that does not exist", header(10, 99)],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["TLS", Buffer.from("160301020001000001fc0303", "hex")],
    ["an empty packet", header(0, 3)],
    ["a packet in plain text", frame("DISCOVER", Buffer.from('{"ver":"5","sender":"x"}'))],
    ["a packet of another cluster", frame("DISCOVER", foreign.seal("DISCOVER", "", Buffer.from("{}")))],
  ])("%s: the end of the connection, at once", async (_, bytes) => {
    expect(await sendUntilClosed(bytes)).toBeLessThan(strangerMs - 1000);
  });

  test("one who says nothing, and one who says a byte at a time: until five seconds are over", async () => {
    const slow = await stranger();
    const drip = setInterval(() => slow.write(Buffer.of(0)), 500);
    const began = performance.now();
    await Promise.all([closed(slow), stranger().then(closed)]);
    clearInterval(drip);
    expect(performance.now() - began).toBeLessThan(strangerMs + 5000);
  });

  test("a stranger hears 32 random bytes, another time others, and nothing else", async () => {
    const hear = async (): Promise<Buffer> => {
      const heard: Buffer[] = [];
      const socket = (await stranger()).on("data", (data: Buffer) => heard.push(data));
      await closed(socket);
      return Buffer.concat(heard);
    };
    const [one, other] = await Promise.all([hear(), hear()]);
    expect([one.length, other.length, one.equals(other)]).toEqual([5 + 32, 5 + 32, false]);
  });

  test("thousands of connections, garbage and slow ones: memory is flat, and people sign in meanwhile", async () => {
    const garbage = () => sendUntilClosed(Buffer.concat([header(900, 3), randomBytes(900)]));
    const flood = async (times: number) => {
      for (let n = 0; n < times; n++) await Promise.all(Array.from({ length: 50 }, garbage));
    };
    await flood(5);
    const before = await residentMegabytes(backend.pid);
    // Of 600 who say nothing, the oldest have to go for those who come.
    const silent = await Promise.all(Array.from({ length: 600 }, stranger));
    const flooding = flood(40);
    const statuses: number[] = [];
    for (let n = 0; n < 5; n++) statuses.push(await signIn());
    await flooding;
    await Promise.all(silent.map(closed));
    expect(statuses).toEqual([200, 200, 200, 200, 200]);
    expect((await residentMegabytes(backend.pid)) - before).toBeLessThan(60);
    expect(open.filter((socket) => !socket.closed)).toEqual([]);
    const told = backend
      .stdout()
      .split("\n")
      .filter((line) => line.includes("not of this cluster"));
    expect(told.length).toBeLessThanOrEqual(1 + Math.ceil(performance.now() / 60_000));
  }, 60_000);

  test("a node that joins in the middle of it finds the others", async () => {
    const flooding = Promise.all(
      Array.from({ length: 20 }, async () => {
        for (let n = 0; n < 25; n++) await sendUntilClosed(randomBytes(500).fill(0, 0, 4));
      }),
    );
    await gateway.stop();
    gateway = startProcess({
      ...stand.env,
      TRANSPORTER: `tcp://127.0.0.1:${port}`,
      TRANSPORTER_TCP_PORT: "0",
      SERVICES: "api-gateway",
    });
    await gateway.ready();
    await eventually("somebody signs in", async () => ((await signIn()) === 200 ? true : undefined));
    await flooding;
  }, 60_000);
});
