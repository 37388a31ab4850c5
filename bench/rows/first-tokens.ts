import pg from "pg";
import type { Row } from "../row.ts";
import { GrpcConnection, type GrpcCall } from "../support/grpc-connection.ts";
import { path, roleCalls } from "../support/role-calls.ts";
import { createStand, startNode } from "../support/service.ts";
import { signedIn } from "../support/signed-in.ts";
import { seedAccounts } from "../../scripts/seed/accounts.ts";

const users = Number(process.env["BENCH_USERS"] ?? 1_000_000);
const tokens = 10_000;
const shape = { connections: 8, streams: 16 } as const;

/** A node that starts on a million accounts, and the first tokens that it meets: how many transactions they cost. */
export const firstTokens: Row = async (log) => {
  const stand = await createStand();
  const client = new pg.Client(stand.database);
  await client.connect();
  const transactions = async (): Promise<number> => {
    const counted = "select xact_commit + xact_rollback as n from pg_stat_database where datname = current_database()";
    return Number((await client.query<{ n: string }>(counted)).rows[0]?.n);
  };
  try {
    const people = await signedIn(stand, tokens);
    log(`seeding ${users} accounts`);
    await seedAccounts(stand.database, users);
    const before = await transactions();
    const node = await startNode(stand, { SERVICES: "auth,grpc-gateway" });
    const { rss } = await node.usage();
    const began = performance.now();
    await callEach(node.grpcAddress, roleCalls(people));
    const took = performance.now() - began;
    // PostgreSQL counts what a connection has done when that ends.
    await node.stop();
    const cost = (await transactions()) - before;
    log(`${tokens} tokens in ${took.toFixed(0)} ms`);
    return [
      { name: `${tokens} first tokens, 128 at once (polls included)`, value: cost, unit: "transactions", atMost: 200 },
      { name: `start on ${users} accounts`, value: node.startMs, unit: "ms" },
      { name: "memory after the start", value: rss, unit: "MB" },
    ];
  } finally {
    await client.end();
    await stand.stop();
  }
};

/** Each once. @throws Error unless every answer is right */
async function callEach(address: string, calls: readonly GrpcCall[]): Promise<void> {
  const left = calls[Symbol.iterator]();
  let open = 0;
  let wrong = 0;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const next = (connection: GrpcConnection): void => {
    const { value, done } = left.next();
    if (done !== true) {
      open++;
      connection.send(value);
    } else if (open === 0) resolve(undefined);
  };
  const connections = Array.from({ length: shape.connections }, () => {
    const connection: GrpcConnection = new GrpcConnection(address, path, (_, right) => {
      open--;
      if (!right) wrong++;
      next(connection);
    });
    return connection;
  });
  for (const connection of connections) for (let stream = 0; stream < shape.streams; stream++) next(connection);
  await promise;
  for (const connection of connections) connection.close();
  if (wrong > 0) throw new Error(`${wrong} of ${calls.length} calls went wrong`);
}
