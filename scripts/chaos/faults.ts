import { setTimeout as sleep } from "node:timers/promises";
import type { FailPoint } from "../../test/support/fail-point.ts";
import { oneOf } from "../../test/support/random.ts";
import type { ChaosNode, World } from "./world.ts";

/** Something that breaks and is whole again when the promise resolves. */
export type Fault = (world: World, random: () => number) => Promise<void>;

const between = (random: () => number, min: number, max: number): number => min + random() * (max - min);
const forAWhile = (random: () => number): Promise<void> => sleep(between(random, 1000, 8000));

/** Where a node's work is cut in two. */
const points: readonly FailPoint[] = [
  { when: "before", kafka: "sendBatch" },
  { when: "after", kafka: "sendBatch" },
  { when: "before", service: "auth", statement: "^commit$" },
  { when: "after", service: "auth", statement: "^commit$" },
  { when: "before", service: "users", statement: "^commit$" },
  { when: "after", service: "users", statement: "^commit$" },
  { when: "before", service: "mailer", statement: "set status = 'sent'" },
  { when: "after", service: "mailer", statement: "^update mails set attempts" },
];
/** A node that does not come to its point in this time lives on. */
const pointLimitMs = 15_000;

const startedAgain = async (nodes: readonly ChaosNode[]): Promise<void> => {
  await Promise.all(nodes.map((node) => node.kill()));
  await Promise.all(nodes.map((node) => node.start()));
};

/** One after the other, beside those of {@link outside}. */
export const ofNodes: Readonly<Record<string, Fault>> = {
  "a node killed": ({ nodes }, random) => startedAgain([oneOf(random, nodes)]),
  "both nodes killed": ({ nodes }) => startedAgain(nodes),
  "a node killed inside its work": async ({ nodes }, random) => {
    const node = oneOf(random, nodes);
    await node.kill();
    await node.start({}, { ...oneOf(random, points), nth: 1 + Math.floor(random() * 5) });
    await Promise.race([node.ended(), sleep(pointLimitMs, undefined, { ref: false })]);
    await startedAgain([node]);
  },
};

export const outside: Readonly<Record<string, Fault>> = {
  "Kafka killed": (world, random) => world.restartKafka(between(random, 0, 4000)),
  "Kafka black-holed": async ({ proxies: { kafka } }, random) => {
    kafka.blackhole();
    await sleep(between(random, 2000, 15_000));
    await kafka.restore();
  },
  "Kafka's connections reset": async ({ proxies: { kafka } }, random) => {
    kafka.resetAfter(Math.floor(between(random, 100, 20_000)));
    await forAWhile(random);
    await kafka.restore();
  },
  "Kafka slow": async ({ proxies: { kafka } }, random) => {
    kafka.delay(between(random, 100, 1500));
    await forAWhile(random);
    await kafka.restore();
  },
  "SMTP refuses": async ({ proxies: { smtp } }, random) => {
    await smtp.refuse();
    await forAWhile(random);
    await smtp.restore();
  },
  "SMTP black-holed": async ({ proxies: { smtp } }, random) => {
    smtp.blackhole();
    await forAWhile(random);
    await smtp.restore();
  },
  "SMTP answers 451": async ({ sink }, random) => {
    sink.refuseForNow(true);
    await forAWhile(random);
    sink.refuseForNow(false);
  },
  "SMTP breaks off in the middle": async ({ proxies: { smtp } }, random) => {
    smtp.resetAfter(Math.floor(between(random, 50, 12_000)));
    await forAWhile(random);
    await smtp.restore();
  },
  "PostgreSQL restarted": (world) => world.restartPostgres(),
  "PostgreSQL's connections cut": ({ proxies: { postgres } }) => {
    postgres.cut();
    return Promise.resolve();
  },
  "PostgreSQL black-holed": async ({ proxies: { postgres } }, random) => {
    postgres.blackhole();
    await sleep(between(random, 1000, 5000));
    await postgres.restore();
  },
  "the relay's lock lost unnoticed": async (world) => {
    const holders = await world.query<{ client_port: number }>(
      `select a.client_port from pg_locks l join pg_stat_activity a using (pid)
       where l.locktype = 'advisory' and l.granted and a.datname = current_database()`,
    );
    for (const { client_port: port } of holders) world.proxies.postgres.sever(port);
  },
};

export const ofTransporter: Readonly<Record<string, Fault>> = {
  "NATS cut": ({ proxies: { nats } }) => {
    nats?.cut();
    return Promise.resolve();
  },
  "NATS black-holed": async ({ proxies: { nats } }, random) => {
    nats?.blackhole();
    await forAWhile(random);
    await nats?.restore();
  },
};
