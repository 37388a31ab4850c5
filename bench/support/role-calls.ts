import { message, type GrpcCall } from "./grpc-connection.ts";
import type { SignedIn } from "./signed-in.ts";

/** roles.proto by hand: no field here is longer than 16,383 bytes. */
export const path = "/roles.RolesService/GetUserRole";

const text = (field: number, value: string): Buffer => {
  const bytes = Buffer.from(value);
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), bytes]);
};
const customer = Buffer.from([2 << 3, 1]);
const requestOf = ({ accessToken }: SignedIn): Buffer => message(text(1, accessToken));
const answerFor = (userId: number): Buffer => message(Buffer.concat([text(1, String(userId)), customer]));

/** What customers are asked for, and who they are. */
export const roleCalls = (people: readonly SignedIn[]): GrpcCall[] =>
  people.map((person) => ({ request: requestOf(person), answer: answerFor(person.userId) }));

/** The same requests to a server that always says the same. */
export const constantCalls = (people: readonly SignedIn[]): GrpcCall[] =>
  people.map((person) => ({ request: requestOf(person), answer: answerFor(1) }));
