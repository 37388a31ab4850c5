import type { ChaosReport, Happened } from "./run.ts";

export interface FaultFigures {
  readonly fault: string;
  readonly times: number;
  /** The longest time that it lasted; of nodes that includes their start. */
  readonly longestMs: number;
  /** The longest time without a successful write that touches one of them, from its begin to where it was over. */
  readonly longestSilenceMs: number;
  /** The longest time to the next successful write from the end of one of them, and of what else was broken just then. */
  readonly recoveryMs: number;
}

/** @returns whether all promises were kept */
export const isClean = ({ audit, journal }: ChaosReport): boolean =>
  audit.findings.length === 0 && journal.unexpected.length === 0;

export function figuresOf({ faults, journal: { successes } }: Pick<ChaosReport, "faults" | "journal">): FaultFigures[] {
  const nextAfter = (time: number): number => successes.find((success) => success >= time) ?? NaN;
  const silence = ({ began, ended }: Happened): number => {
    const from = successes.findLast((success) => success < began) ?? began;
    const inside = successes.filter((success) => success >= began && success <= ended);
    const times = [from, ...inside, nextAfter(ended)];
    return Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? NaN)));
  };
  const recovery = ({ ended }: Happened): number => {
    let whole = ended;
    for (const other of faults.toSorted((a, b) => a.began - b.began)) {
      if (other.began <= whole && other.ended > whole) whole = other.ended;
    }
    return nextAfter(whole) - whole;
  };
  return [...Map.groupBy(faults, ({ kind }) => kind)]
    .map(([fault, some]) => ({
      fault,
      times: some.length,
      longestMs: Math.round(Math.max(...some.map(({ began, ended }) => ended - began))),
      longestSilenceMs: Math.round(Math.max(...some.map(silence))),
      recoveryMs: Math.round(Math.max(...some.map(recovery))),
    }))
    .toSorted((a, b) => (a.fault < b.fault ? -1 : 1));
}

export function printReport(report: ChaosReport): void {
  const { audit, journal, seed, seconds, relaysKilled } = report;
  const { findings, ...counts } = audit;
  console.table(figuresOf(report));
  console.log(
    `seed ${seed}, ${seconds.toFixed(0)} s, ${report.faults.length} faults, ${relaysKilled} relays killed alone`,
  );
  console.log(
    `${journal.acknowledged.length} registrations, ${journal.successes.length} writes, ${journal.signIns} sign-ins; ` +
      `${journal.repeated} questions were asked again`,
  );
  for (const [name, count] of Object.entries(counts)) console.log(`${name}: ${count}`);
  for (const answer of new Set(journal.unexpected)) {
    const times = journal.unexpected.filter((each) => each === answer).length;
    console.log(`UNEXPECTED ${times} times: ${answer}`);
  }
  for (const finding of findings.slice(0, 50)) console.log(`VIOLATION: ${finding}`);
  if (findings.length > 50) console.log(`... and ${findings.length - 50} more`);
}
