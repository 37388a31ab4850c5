import { median, quantile } from "./measure.ts";

/** Whatever takes load for a while. */
export interface Contestant {
  /** @throws Error unless everything that is asked gets its answer */
  turn(seconds: number): Promise<Turn>;
}
export interface Turn {
  /** Milliseconds of the servers' CPU time. */
  readonly cpu: number;
  readonly seconds: number;
  /** Milliseconds of each call. */
  readonly times: readonly number[];
}
export interface Measured {
  /** Microseconds of the servers' CPU time per call. */
  readonly cpu: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p99: number;
}

const warmUps = 2;
const rounds = 3;
/** Each round is made of so many short turns, so that what else the machine does meets all of them alike. */
const turns = 8;
const turnSeconds = 0.8;

/** A warm-up, and three rounds in each of which all take turns. @returns of each contestant a figure per round */
export async function contest<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  log: (line: string) => void,
): Promise<Record<Name, Measured>[]> {
  // V8 goes on optimising for some 50,000 calls.
  for (let round = 0; round < warmUps; round++) await takeTurns(contestants);
  const measured: Record<Name, Measured>[] = [];
  for (let round = 0; round < rounds; round++) {
    const results = await takeTurns(contestants);
    measured.push(results);
    log(Object.entries<Measured>(results).map(said).join("; "));
  }
  return measured;
}

export async function takeTurns<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
): Promise<Record<Name, Measured>> {
  const entries = Object.entries<Contestant>(contestants);
  const taken = new Map<string, Turn[]>(entries.map(([name]) => [name, []]));
  for (let turn = 0; turn < turns; turn++) {
    for (const [name, contestant] of entries) taken.get(name)?.push(await contestant.turn(turnSeconds));
  }
  return Object.fromEntries([...taken].map(([name, all]) => [name, together(all)])) as Record<Name, Measured>;
}

function together(taken: readonly Turn[]): Measured {
  const sum = (of: (turn: Turn) => number) => taken.reduce((before, turn) => before + of(turn), 0);
  const times = taken.flatMap((turn) => turn.times);
  return {
    cpu: (sum(({ cpu }) => cpu) * 1000) / times.length,
    perSecond: times.length / sum(({ seconds }) => seconds),
    p99: quantile(times, 0.99),
  };
}

const said = ([name, { cpu, perSecond, p99 }]: [string, Measured]): string =>
  `${name} ${cpu.toFixed(1)} µs CPU, ${perSecond.toFixed(0)}/s, p99 ${p99.toFixed(1)} ms`;

/** What two contestants have to do with each other, round by round. */
export const ratios = <Name extends string>(
  measured: readonly Record<Name, Measured>[],
  what: keyof Measured,
  one: Name,
  other: Name,
): number[] => measured.map((round) => round[one][what] / round[other][what]);

export const middle = <Name extends string>(
  measured: readonly Record<Name, Measured>[],
  what: keyof Measured,
  of: Name,
): number => median(measured.map((round) => round[of][what]));
