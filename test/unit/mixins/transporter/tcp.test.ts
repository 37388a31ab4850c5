import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { ServiceBroker, type ActionSchema } from "moleculer";
import { keyRing } from "../../../../lib/keys.ts";
import type { Log } from "../../../../lib/log.ts";
import { silentLog } from "../../../../lib/log.ts";
import { frame, FrameReader } from "../../../../mixins/transporter/frames.ts";
import { newChallenge, readChallenge, readProof, writeProof } from "../../../../mixins/transporter/handshake.ts";
import { allNodes, PacketSeal } from "../../../../mixins/transporter/packet-seal.ts";
import brokerOptions from "../../../../moleculer.config.ts";
import { eventually } from "../../../support/eventually.ts";
import { freePort } from "../../../support/ports.ts";
import { config, memoryLog, secrets } from "../../helpers.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  jest.restoreAllMocks();
  for (const end of ends.splice(0).reverse()) await end();
});

/** A node with the action `test.<id>`. @param dials ports that its `TRANSPORTER` names */
async function node(id: string, port: number, dials: readonly number[], log: Log = silentLog): Promise<ServiceBroker> {
  const env = {
    TRANSPORTER: `tcp://${dials.map((dialed) => `127.0.0.1:${dialed}`).join(",")}`,
    TRANSPORTER_TCP_PORT: String(port),
    TRANSPORTER_TCP_HOST: "127.0.0.1",
  };
  const broker = new ServiceBroker({ ...brokerOptions(config(env), log), nodeID: id, logger: false });
  const action: ActionSchema = { visibility: "public", auth: "internal", handler: () => id };
  broker.createService({ name: "test", actions: { [id]: action } });
  ends.push(() => broker.stop());
  await broker.start();
  return broker;
}
const knows = (broker: ServiceBroker, id: string) =>
  eventually(`${broker.nodeID} knows ${id}`, () => (broker.registry.nodes.get(id).available ? true : undefined));

/** Listens like a node; what it does is the test's. @returns its port */
async function listen(accept: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer((socket) => {
    ends.push(() => socket.destroy());
    accept(socket.on("error", () => undefined));
  });
  server.listen(0, "127.0.0.1");
  ends.push(() => server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

interface Packet {
  readonly type: string;
  readonly data: Buffer;
}
/** The other end of a node's connection, as somebody sees it who knows the frames. */
class End {
  readonly socket: Socket;
  readonly heard: Packet[] = [];

  constructor(socket: Socket) {
    this.socket = socket.on("error", () => undefined);
    const reader = new FrameReader();
    socket.on("data", (piece: Buffer) =>
      reader.push(
        piece,
        () => 4 * 1024 * 1024,
        (type, data) => this.heard.push({ type, data }),
      ),
    );
    ends.push(() => socket.destroy());
  }
  static async dial(port: number): Promise<End> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new End(socket);
  }
  say(type: string, data: Buffer): void {
    this.socket.write(frame(type, data));
  }
  hears(type: string): Promise<Buffer> {
    return eventually(type, () => this.heard.find((packet) => packet.type === type)?.data);
  }
  get isOpen(): boolean {
    return !this.socket.closed;
  }
  /** @returns whether it was at once, and not after the five seconds that a stranger has */
  async isHungUpOn(): Promise<boolean> {
    const began = performance.now();
    if (this.isOpen) await once(this.socket, "close");
    return performance.now() - began < 2000;
  }
}

/** Somebody with the cluster's secret. */
const seal = new PacketSeal(keyRing(secrets, "packet"), "member");
const hello = (answer: string, sender = "member", challenge = newChallenge()) =>
  seal.seal("HELLO", allNodes, writeProof({ answer, challenge, sender }));
async function joined(port: number): Promise<End> {
  const end = await End.dial(port);
  end.say("HELLO", hello(readChallenge(await end.hears("CHALLENGE"))));
  await end.hears("WELCOME");
  return end;
}
const heartbeat = (): Buffer =>
  seal.seal("HEARTBEAT", allNodes, Buffer.from(JSON.stringify({ ver: "5", sender: "member", cpu: 0 })));

describe("TcpTransporter: nodes", () => {
  test("that dial each other, and themselves, talk in both directions", async () => {
    const [a, b] = [await freePort(), await freePort()];
    const log = memoryLog();
    const [one, two] = await Promise.all([node("a", a, [a, b], log), node("b", b, [a, b])]);
    await Promise.all([knows(one, "b"), knows(two, "a")]);
    expect([await one.call("test.b"), await two.call("test.a")]).toEqual(["b", "a"]);
  });

  test("that dial their own address do so rarely, and do not complain", async () => {
    const own = await freePort();
    let dials = 0;
    const around = await listen((socket) => {
      dials++;
      const there = connect(own, "127.0.0.1").on("error", () => undefined);
      ends.push(() => there.destroy());
      socket.pipe(there).pipe(socket);
    });
    const log = memoryLog();
    await node("a", own, [around], log);
    await sleep(2000);
    expect([dials, log.text()]).toEqual([1, expect.not.stringContaining("no connection")]);
    await eventually("it is dialed again: another node may be there later", () => dials > 1 || undefined, 8000);
  }, 20_000);

  test("what is for a node goes over one connection, until that has been silent for 2.5 s", async () => {
    const port = await freePort();
    const a = await node("a", port, [port]);
    const links = [await joined(port), await joined(port)];
    const pings = async (): Promise<number[]> => {
      const before = links.map(({ heard }) => heard.length);
      for (const link of [...links].reverse()) link.say("HEARTBEAT", heartbeat());
      await sleep(50);
      for (let nth = 0; nth < 3; nth++) await a.transit?.sendPing("member");
      await sleep(50);
      return links.map(({ heard }, nth) => heard.slice(before[nth]).filter(({ type }) => type === "PING").length);
    };
    expect(await pings()).toEqual([3, 0]);
    const later = performance.now() + 2501;
    jest.spyOn(performance, "now").mockReturnValue(later);
    links[1]?.say("HEARTBEAT", heartbeat());
    await sleep(50);
    await a.transit?.sendPing("member");
    await sleep(50);
    expect(links.map(({ heard }) => heard.filter(({ type }) => type === "PING").length)).toEqual([3, 1]);
  });

  test("each connection with a node shows that it lives, the one as well that is not used", async () => {
    const port = await freePort();
    await node("a", port, [port]);
    await Promise.all([await joined(port), await joined(port)].map((end) => end.hears("ALIVE")));
  });

  test("of whose connections there are many: the four that were heard last stay", async () => {
    const port = await freePort();
    await node("a", port, [port]);
    const links: End[] = [];
    for (let n = 0; n < 8; n++) links.push(await joined(port));
    await eventually("four", () => links.filter(({ isOpen }) => isOpen).length === 4 || undefined);
    await sleep(200);
    expect(links.map(({ isOpen }) => isOpen)).toEqual([false, false, false, false, true, true, true, true]);
  });
});

describe("TcpTransporter: somebody without the secret", () => {
  test("hears nothing that is sealed, so that he has nothing to hand on", async () => {
    const port = await freePort();
    await node("a", port, [port]);
    const end = await End.dial(port);
    await end.hears("CHALLENGE");
    // The node shows itself to whom it dials only.
    end.say("CHALLENGE", Buffer.alloc(32));
    expect(await end.isHungUpOn()).toBe(true);
    expect(end.heard.map(({ type, data }) => `${type} ${data.length}`)).toEqual(["CHALLENGE 32"]);
  });

  test("what one node tells him, handed to another: he stays a stranger, for five seconds", async () => {
    const [a, b] = [await freePort(), await freePort()];
    await Promise.all([node("a", a, [a]), node("b", b, [b])]);
    const [from, to] = [await End.dial(a), await End.dial(b)];
    const { type, data } = await eventually("it says something", () => from.heard[0]);
    to.say(type, data);
    await eventually("the end of it", () => !to.isOpen || undefined, 7000);
  }, 20_000);

  test("at an address that a node dials: what it says there opens no connection anywhere else", async () => {
    const [a, b] = [await freePort(), await freePort()];
    const at = Promise.withResolvers<End>();
    const evil = await listen((socket) => at.resolve(new End(socket)));
    await Promise.all([node("a", a, [evil]), node("b", b, [b])]);
    const dialer = await at.promise;
    const earlier = await End.dial(b);
    dialer.say("CHALLENGE", await earlier.hears("CHALLENGE"));
    const said = await dialer.hears("HELLO");
    // Of another connection, to the node itself, and to the end that says it.
    for (const port of [b, a]) {
      const other = await End.dial(port);
      other.say("HELLO", said);
      expect(await other.isHungUpOn()).toBe(true);
    }
    dialer.say("HELLO", said);
    expect(await dialer.isHungUpOn()).toBe(true);
    expect(earlier.heard).toHaveLength(1);
  });

  test("who hands back what he is told is not believed, and the address is dialed again", async () => {
    let dials = 0;
    const types: string[] = [];
    const evil = await listen((socket) => {
      dials++;
      const end = new End(socket);
      end.say("CHALLENGE", Buffer.alloc(32, dials));
      socket.on("data", (data) => socket.write(data));
      socket.on("close", () => types.push(...end.heard.map(({ type }) => type)));
    });
    await node("a", await freePort(), [evil]);
    await eventually("three", () => dials >= 3 || undefined, 8000);
    expect(new Set(types)).toEqual(new Set(["HELLO"]));
  }, 20_000);

  test("who passes a whole greeting on and then holds the line is not what others are sent through", async () => {
    const [a, b] = [await freePort(), await freePort()];
    let passing = true;
    const relay = await listen((socket) => {
      const there = connect(b, "127.0.0.1").on("error", () => undefined);
      ends.push(() => there.destroy());
      for (const [from, to] of [
        [socket, there],
        [there, socket],
      ] as const) {
        from.on("data", (data) => passing && to.write(data)).on("close", () => to.destroy());
      }
    });
    const one = await node("a", a, [relay, b]);
    const two = await node("b", b, [b]);
    await Promise.all([knows(one, "b"), knows(two, "a")]);
    await sleep(500);
    passing = false;
    await eventually("a call arrives", () => one.call("test.b", {}, { timeout: 300 }).catch(() => undefined), 7000);
    for (let n = 0; n < 5; n++) expect(await one.call("test.b")).toBe("b");
  }, 30_000);
});

describe("TcpTransporter: somebody with the secret, on a connection of another", () => {
  test.each([
    ["another challenge is answered", () => hello(newChallenge()), "HELLO"],
    ["nothing is answered", () => hello(""), "HELLO"],
    ["it is no greeting", heartbeat, "HEARTBEAT"],
  ])("%s: the end of it", async (_, packet, type) => {
    const port = await freePort();
    await node("a", port, [port]);
    const end = await End.dial(port);
    await end.hears("CHALLENGE");
    end.say(type, packet());
    expect([await end.isHungUpOn(), end.heard.length]).toEqual([true, 1]);
  });

  test("as the node itself, and a second greeting: the end of it", async () => {
    const port = await freePort();
    await node("a", port, [port]);
    const end = await End.dial(port);
    end.say("HELLO", hello(readChallenge(await end.hears("CHALLENGE")), "a"));
    const twice = await joined(port);
    twice.say("HELLO", hello(readChallenge(await twice.hears("CHALLENGE"))));
    expect([await end.isHungUpOn(), await twice.isHungUpOn()]).toEqual([true, true]);
  });

  test("who is dialed: only a WELCOME for this connection's challenge is one", async () => {
    const ended: boolean[] = [];
    const proofs = [
      { type: "WELCOME", answers: (challenge: string) => challenge },
      { type: "WELCOME", answers: newChallenge },
      { type: "WELCOME", answers: () => "" },
      // What a node says that dials him.
      { type: "HELLO", answers: (challenge: string) => challenge },
    ];
    let dials = 0;
    const port = await listen((socket) => {
      const { type, answers } = proofs[dials++ % proofs.length]!;
      const end = new End(socket);
      end.say("CHALLENGE", Buffer.alloc(32, dials));
      void end.hears("HELLO").then(async (packet) => {
        const { challenge, sender } = readProof(seal.open("HELLO", packet) as Buffer);
        const text = writeProof({ answer: answers(challenge), challenge: newChallenge(), sender: "member" });
        end.say(type, seal.seal(type, type === "HELLO" ? allNodes : sender, text));
        // The first is asked who is there.
        ended.push((await Promise.race([end.hears("DISCOVER"), end.isHungUpOn()])) === true);
        socket.destroy();
      });
    });
    await node("a", await freePort(), [port]);
    await eventually("all four", () => ended.length >= 4 || undefined, 9000);
    expect(ended.slice(0, 4)).toEqual([false, true, true, true]);
  }, 20_000);
});
