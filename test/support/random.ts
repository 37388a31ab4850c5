/** mulberry32: small, and the same sequence for the same seed. @returns numbers from 0 to below 1 */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of several. */
export function oneOf<T>(random: () => number, values: readonly T[]): T {
  const chosen = values[Math.floor(random() * values.length)];
  if (chosen === undefined) throw new Error("nothing to choose from");
  return chosen;
}
