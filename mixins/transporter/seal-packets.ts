import type { Socket } from "node:net";
import type { Middleware, ServiceBroker } from "moleculer";
import { keyRing } from "../../lib/keys.ts";
import type { Log } from "../../lib/log.ts";
import { allNodes, PacketSeal, type Refusal } from "./packet-seal.ts";
import { Refusals } from "./refusals.ts";

/** What a transporter is handed beside the bytes. */
export interface Sending {
  readonly packet: { readonly type: string; readonly target: string | null };
}
type Send = (topic: string, data: Buffer, sending: Sending) => Promise<void>;
type Receive = (type: string, data: Buffer, socket?: Socket) => Promise<void> | void;

/**
 * Seals everything that leaves this node and drops what arrives without a seal, on every transporter: the broker itself
 * believes whatever it is sent, the caller's identity and all. Below its serializer, which would log each bad packet.
 */
export function sealPackets(secrets: { current: string; previous: string | undefined }, log: Log): Middleware {
  const middleware = ({ nodeID }: ServiceBroker) => {
    const seal = new PacketSeal(keyRing(secrets, "packet"), nodeID);
    const refusals = new Refusals<Refusal>(log, "packets of the transporter were not of this cluster and were dropped");
    return {
      name: "SealPackets",
      transporterSend: (next: Send): Send => {
        return (topic, data, sending) => {
          const { type, target } = sending.packet;
          return next(topic, seal.seal(type, target ?? allNodes, data), sending);
        };
      },
      transporterReceive: (next: Receive): Receive => {
        return (type, data, socket) => {
          const text = seal.open(type, data);
          if (typeof text !== "string") return next(type, text, socket);
          refusals.count(text);
          socket?.destroy();
        };
      },
    };
  };
  // Moleculer's types know neither a middleware that is made for a broker, nor that a hook returns the wrapped function.
  return middleware as unknown as Middleware;
}
