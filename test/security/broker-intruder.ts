import { randomUUID } from "node:crypto";
import { connect, type NatsConnection } from "nats";
import { keyRing } from "../../lib/keys.ts";
import { PacketSeal } from "../../mixins/transporter/packet-seal.ts";
import { eventually } from "../support/eventually.ts";

export interface Heard {
  readonly subject: string;
  readonly data: Buffer;
}
/** What a node answers: `success`, `data`, `error`, … */
export type BrokerAnswer = Readonly<Record<string, unknown>>;

const prefix = "MOL-identity";

/** Somebody who has credentials for NATS and speaks the broker's protocol, and may or may not have the cluster's secret. */
export class Intruder {
  readonly nodeId = `intruder-${randomUUID().slice(0, 8)}`;
  readonly heard: Heard[] = [];
  readonly #nats: NatsConnection;
  readonly #seal: PacketSeal;

  private constructor(nats: NatsConnection, secret: string) {
    this.#nats = nats;
    this.#seal = new PacketSeal(keyRing({ current: secret, previous: undefined }, "packet"), this.nodeId);
    nats.subscribe(">", {
      callback: (error, { subject, data }) => {
        if (!error) this.heard.push({ subject, data: Buffer.from(data) });
      },
    });
  }

  static async connect(servers: string, user: string, pass: string, secret: string): Promise<Intruder> {
    const nats = await connect({ servers, user, pass });
    const intruder = new Intruder(nats, secret);
    await nats.flush();
    return intruder;
  }

  static subjectOf = (type: string, nodeId: string): string => `${prefix}.${type}.${nodeId}`;

  /** The node with these services, as soon as something is sent to it. */
  nodeOf(services: string): Promise<string> {
    const start = Intruder.subjectOf("REQ", services);
    return eventually(`a request to ${services}`, () =>
      this.heard.find(({ subject }) => subject.startsWith(start))?.subject.slice(`${prefix}.REQ.`.length),
    );
  }

  say(subject: string, data: Buffer): void {
    this.#nats.publish(subject, data);
  }

  /** So that everything said so far has reached NATS. */
  flush = (): Promise<void> => this.#nats.flush();

  sealed = (type: string, target: string, payload: object): Buffer =>
    this.#seal.seal(type, target, Buffer.from(JSON.stringify(this.payload(payload))));

  payload = (payload: object): object => ({ ver: "5", sender: this.nodeId, ...payload });

  request = (action: string, params: object, actor: object): Readonly<Record<string, unknown>> => ({
    id: randomUUID(),
    action,
    params,
    meta: { actor },
    headers: {},
    level: 1,
    tracing: false,
    parentID: null,
    requestID: "r",
    caller: null,
    stream: false,
  });

  /** Asks with a seal. NATS keeps the order: whatever was said to this node before has been dealt with. */
  async ask(node: string, action: string, params: object = {}, actor: object = {}): Promise<BrokerAnswer> {
    const request = this.request(action, params, actor);
    const subject = Intruder.subjectOf("RES", this.nodeId);
    const from = this.heard.length;
    this.say(Intruder.subjectOf("REQ", node), this.sealed("REQ", node, request));
    return await eventually(`an answer of ${action}`, () => {
      for (const { data } of this.heard.slice(from).filter((heard) => heard.subject === subject)) {
        const opened = this.#seal.open("RES", data);
        const answer = typeof opened === "string" ? {} : (JSON.parse(opened.toString()) as BrokerAnswer);
        if (answer["id"] === request["id"]) return answer;
      }
      return undefined;
    });
  }

  close = (): Promise<void> => this.#nats.close();
}
