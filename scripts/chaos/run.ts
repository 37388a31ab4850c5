import { setTimeout as sleep } from "node:timers/promises";
import { signUpModerator, startLoad, type Journal } from "../../test/support/load.ts";
import { audit, watchTopics, type Audit } from "../../test/support/oracle.ts";
import { oneOf, randomFrom } from "../../test/support/random.ts";
import { killRelays } from "../../test/support/relay-kills.ts";
import { ofNodes, ofTransporter, outside, type Fault } from "./faults.ts";
import type { ChaosOptions } from "./options.ts";
import { createWorld, type World } from "./world.ts";

export interface Happened {
  readonly kind: string;
  /** `performance.now()` */
  readonly began: number;
  readonly ended: number;
}

export interface ChaosReport {
  readonly seed: number;
  readonly seconds: number;
  readonly audit: Audit;
  readonly journal: Journal;
  readonly faults: readonly Happened[];
  readonly relaysKilled: number;
}

export interface ChaosHooks {
  readonly log: (line: string) => void;
  /** Ends the faults early; the rest is done as always. */
  readonly stop: AbortSignal;
  /** The kinds that may happen; all of them when left out. */
  readonly kinds?: readonly string[];
}

const pauseMs = { shortest: 500, longest: 4000 };
/** Everything is whole: by then every node and every queue must have recovered. */
const quietMs = 3000;
/** The longest back-offs: half a minute of the relay and of a mail that was refused a few times, and what has piled up. */
const drainMs = 180_000;

/** Breaks one thing after the other under load, lets everything settle, and asks the oracle. */
export async function runChaos(options: ChaosOptions, hooks: ChaosHooks): Promise<ChaosReport> {
  const { log } = hooks;
  const random = randomFrom(options.seed);
  const world = await createWorld();
  const ending = new AbortController();
  try {
    await Promise.all(world.nodes.map((node) => node.start()));
    const urls = world.nodes.map(({ url }) => url);
    const moderator = await signUpModerator(urls[0] ?? "", world);
    const people = { people: options.clients, pauseMs: 100, random };
    const { journal, ended } = startLoad({ urls, moderator, ...people, stop: ending.signal });
    log(`two nodes are up, ${options.clients} people are busy, seed ${options.seed}`);

    const began = performance.now();
    const until = began + options.minutes * 60_000;
    const faults = await breakThings(world, random, until, hooks);
    if (options.relayKills > 0) await killOnlyRelays(world, options.relayKills, random, log);
    await sleep(quietMs);
    ending.abort();
    await ended;
    log("quiet; asking the oracle");
    const watch = await watchTopics(world.kafka, { from: 1, below: Infinity });
    const { acknowledged } = journal;
    const result = await audit(world, watch, acknowledged, { mails: world.sink.mails, drainMs });
    await watch.stop();
    const seconds = (performance.now() - began) / 1000;
    return { seed: options.seed, seconds, audit: result, journal, faults, relaysKilled: options.relayKills };
  } finally {
    ending.abort();
    await world.stop();
  }
}

/** Nodes on one side, everything else on the other: what falls together is left to chance. */
async function breakThings(world: World, random: () => number, until: number, hooks: ChaosHooks): Promise<Happened[]> {
  const { kinds, stop, log } = hooks;
  const happened: Happened[] = [];
  const lane = async (faults: Readonly<Record<string, Fault>>): Promise<void> => {
    const wanted = Object.entries(faults).filter(([kind]) => kinds?.includes(kind) ?? true);
    if (wanted.length === 0) return;
    while (performance.now() < until && !stop.aborted) {
      await sleep(pauseMs.shortest + random() * (pauseMs.longest - pauseMs.shortest));
      const [kind, fault] = oneOf(random, wanted);
      const began = performance.now();
      await fault(world, random).catch((error: unknown) => {
        // PostgreSQL was away when it was asked for the lock's holder.
        log(`${kind}: ${error instanceof Error ? error.message : String(error)}`);
      });
      happened.push({ kind, began, ended: performance.now() });
    }
  };
  await Promise.all([lane(ofNodes), lane({ ...outside, ...(world.proxies.nats && ofTransporter) })]);
  return happened;
}

/** Nodes without a relay, so that the one that is killed is the one that publishes. */
async function killOnlyRelays(world: World, kills: number, random: () => number, log: (line: string) => void) {
  log(`killing ${kills} relays between a commit and its mark`);
  const restart = async (changes: Record<string, string>) => {
    for (const node of world.nodes) {
      await node.kill();
      await node.start(changes);
    }
  };
  await restart({ SERVICES: "auth,users,mailer,grpc-gateway,api-gateway" });
  await killRelays(world.env, kills, random);
  await restart({});
}
