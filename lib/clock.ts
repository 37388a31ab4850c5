/** The time, as a dependency: tests freeze it. Expiry that must hold across nodes is decided by the database's clock. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
