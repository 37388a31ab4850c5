/** One claim: a figure, what it may be at most, and where it stands. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly atMost: number;
}
export type Row = (log: (line: string) => void) => Promise<readonly Figure[]>;
