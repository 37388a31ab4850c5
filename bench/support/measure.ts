import type { Figure } from "../row.ts";

/** Ends per second of a job that so many callers do again and again: a caller begins anew when it has its answer. */
export async function perSecond(callers: number, seconds: number, job: () => Promise<unknown>): Promise<number> {
  const end = performance.now() + seconds * 1000;
  const ends: number[] = [];
  const call = async (): Promise<void> => {
    while (performance.now() < end) {
      await job();
      ends.push(performance.now());
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const counted = ends.filter((time) => time <= end);
  const [first = NaN, last = NaN] = [counted[0], counted.at(-1)];
  return ((counted.length - 1) / (last - first)) * 1000;
}

/** Milliseconds of a job, done every so often whether or not the last one has ended, as long as a promise is open. */
export async function timesDuring(
  during: Promise<unknown>,
  everyMs: number,
  job: () => Promise<unknown>,
): Promise<number[]> {
  const times: Promise<number>[] = [];
  const timer = setInterval(() => {
    const begun = performance.now();
    times.push(job().then(() => performance.now() - begun));
  }, everyMs);
  await during;
  clearInterval(timer);
  return await Promise.all(times);
}

/** @param part 0.5 for the median */
export const quantile = (values: readonly number[], part: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))] ?? NaN;
export const median = (values: readonly number[]): number => quantile(values, 0.5);
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of the straight line that fits best (least squares). */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const [middleX, middleY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const sum = (of: (x: number, y: number) => number) =>
    points.reduce((before, [x, y]) => before + of(x - middleX, y - middleY), 0);
  return sum((x, y) => x * y) / sum((x) => x * x);
}

/** Ratios of several rounds: their median, which has the bound, and how far they lie apart. */
export const ratioFigures = (
  name: string,
  ratios: readonly number[],
  bound: Pick<Figure, "atMost" | "atLeast">,
): Figure[] => [
  { name, value: median(ratios), unit: "ratio", ...bound },
  { name: `${name}, spread`, value: Math.max(...ratios) - Math.min(...ratios), unit: "ratio" },
];
