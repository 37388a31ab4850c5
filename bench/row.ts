/** One claim: a figure, what it may be at most and must be at least, and where it stands. Without a bound it only informs. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}
export type Row = (log: (line: string) => void) => Promise<readonly Figure[]>;

/** A figure that could not be measured (NaN) is none that was met. */
export const isMet = ({ value, atMost = Infinity, atLeast = -Infinity }: Figure): boolean =>
  value <= atMost && value >= atLeast;

/** What a row needs is not on this machine. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}
