import { randomBytes } from "node:crypto";

/**
 * How the two ends of a new TCP connection show each other which nodes they are.
 *
 *     who accepted -> CHALLENGE   32 random bytes, all that is ever said without a seal
 *     who dialed   -> HELLO       sealed for all, since it is not known yet who is there
 *     who accepted -> WELCOME     sealed for the node that dialed
 *
 * HELLO and WELCOME repeat the other end's challenge, which is random for each connection: one that was recorded, or said on
 * another connection, proves nothing. Who dials shows himself first: he who only connects gets nothing sealed that he could
 * hand to somebody else. Two types, so that what a node says at one end is no answer at the other.
 */
export interface Proof {
  /** The challenge that it answers. */
  readonly answer: string;
  /** Of the end that says this. */
  readonly challenge: string;
  readonly sender: string;
}

const challengeBytes = 32;

/** As it stands in a proof. */
export const newChallenge = (): string => randomBytes(challengeBytes).toString("base64url");
export const writeChallenge = (challenge: string): Buffer => Buffer.from(challenge, "base64url");
/** Any bytes are a challenge, and none of them can stand for another line of what answers it. @throws on another length */
export function readChallenge(data: Buffer): string {
  if (data.length !== challengeBytes) throw new Error("no challenge");
  return data.toString("base64url");
}

/** A line each; base64url has no line break, and the node's name is last. */
export const writeProof = ({ answer, challenge, sender }: Proof): Buffer =>
  Buffer.from([answer, challenge, sender].join("\n"));
export function readProof(text: Buffer): Proof {
  const [answer = "", challenge = "", sender = ""] = text.toString().split("\n");
  return { answer, challenge, sender };
}
