import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, randomBytes, type KeyObject } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { KeyRing } from "../../lib/keys.ts";
import { ReplayWindow } from "./replay-window.ts";

/** As the node that a packet is for. */
export const allNodes = "";
/** Always for one node here (the broker balances by itself): one that is for all was not made by a node. */
const forOne = new Set(["REQ", "RES", "EVENT", "PONG", "WELCOME", "ALIVE"]);
/** Why a packet was not opened. */
export type Refusal = "unknown_key" | "forged" | "repeated";

/**
 * AES-256-GCM around what nodes send to each other (docs/adr/0010). A sealed packet is
 *
 *     version 1 | to all 0 or to one 1 | key id 4 | sender 16 | number 6 | sealed text | tag 16      (bytes)
 *
 * The sender is random for each start of a process and has a key of its own, derived from the cluster's, so that the packet's
 * number can be the nonce: random nonces under one key for all nodes would be used up in days (NIST SP 800-38D section 8.3).
 * Signed with it are the packet's type and the node that it is for. So nobody without the key can read, forge or alter a
 * packet, send it again, or send it to somebody else. The header needs no signature: all of it goes into key, nonce or target.
 */
export class PacketSeal {
  readonly #ring: KeyRing;
  readonly #nodeId: string;
  readonly #own: { readonly name: Buffer; readonly key: KeyObject };
  #next = 0;
  /** By key id and sender. So many other processes are hardly started while this one lives; of more, the silent are forgotten. */
  readonly #senders = new LRUCache<string, Sender>({ max: 1000 });

  constructor(ring: KeyRing, nodeId: string) {
    this.#ring = ring;
    this.#nodeId = nodeId;
    const sender = randomBytes(senderBytes);
    this.#own = {
      name: Buffer.concat([Buffer.from(ring.current.id, "hex"), sender]),
      key: senderKey(ring.current.object, sender),
    };
  }

  /** @param target the node that it is for, or {@link allNodes} */
  seal(type: string, target: string, text: Buffer): Buffer {
    const header = Buffer.allocUnsafe(headerBytes);
    header[0] = version;
    header[1] = target === allNodes ? 0 : 1;
    this.#own.name.copy(header, nameAt);
    header.writeUIntBE(this.#next++, numberAt, numberBytes);
    const cipher = createCipheriv(algorithm, this.#own.key, nonceOf(header), { authTagLength: tagBytes });
    cipher.setAAD(Buffer.from(`${type}\0${target}`));
    return Buffer.concat([header, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  }

  open(type: string, packet: Buffer): Buffer | Refusal {
    const target = [allNodes, this.#nodeId][packet[1] ?? 2];
    if (packet.length < headerBytes + tagBytes || packet[0] !== version || target === undefined) return "forged";
    if (target === allNodes && forOne.has(type)) return "forged";
    const name = packet.toString("latin1", nameAt, numberAt);
    const known = this.#senders.get(name);
    const sender = known ?? this.#meet(packet);
    if (!sender) return "unknown_key";
    const decipher = createDecipheriv(algorithm, sender.key, nonceOf(packet), { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(`${type}\0${target}`));
    decipher.setAuthTag(packet.subarray(-tagBytes));
    const text = decipher.update(packet.subarray(headerBytes, -tagBytes));
    try {
      decipher.final();
    } catch {
      return "forged";
    }
    if (!sender.met.take(packet.readUIntBE(numberAt, numberBytes))) return "repeated";
    // Only now: a stranger must not be able to fill it.
    if (!known) this.#senders.set(name, sender);
    return text;
  }

  #meet(packet: Buffer): Sender | undefined {
    const keyId = packet.toString("hex", nameAt, nameAt + keyIdBytes);
    const key = this.#ring.all.find(({ id }) => id === keyId);
    const sender = packet.subarray(nameAt + keyIdBytes, numberAt);
    return key && { key: senderKey(key.object, sender), met: new ReplayWindow() };
  }
}

interface Sender {
  readonly key: KeyObject;
  readonly met: ReplayWindow;
}

const algorithm = "aes-256-gcm";
const version = 1;
const [keyIdBytes, senderBytes, numberBytes, nonceBytes, tagBytes] = [4, 16, 6, 12, 16];
const nameAt = 2;
const numberAt = nameAt + keyIdBytes + senderBytes;
const headerBytes = numberAt + numberBytes;

const senderKey = (key: KeyObject, sender: Buffer): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync("sha256", key, sender, "sender", 32)));

/** The number, and before it the end of the sender, which is the same for all that one key seals. */
const nonceOf = (header: Buffer): Buffer => header.subarray(headerBytes - nonceBytes, headerBytes);
