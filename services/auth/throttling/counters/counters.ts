/** How often something was tried lately, counted by all nodes together. */
export interface Counters {
  /**
   * One more.
   * @param seconds how long it is remembered, if this is the first one
   * @throws ServiceError `unavailable`
   */
  add(key: string, seconds: number): Promise<Count>;
  /** So many, for so many seconds from now on. @throws ServiceError `unavailable` */
  set(key: string, count: number, seconds: number): Promise<void>;
  /** Forgets some keys and takes one off others. @throws ServiceError `unavailable` */
  settle(what: { readonly forget?: readonly string[]; readonly takeBack?: readonly string[] }): Promise<void>;
  close(): void;
}

export interface Count {
  readonly count: number;
  /** Milliseconds until all of it is forgotten. */
  readonly resetMs: number;
}

/** The library wants to know a limit and a time; it is asked for counts alone, each with a time of its own. */
export const asked = { points: 1, duration: 1 } as const;

export const countOf = (answer: { readonly consumedPoints: number; readonly msBeforeNext: number }): Count => ({
  count: answer.consumedPoints,
  resetMs: answer.msBeforeNext,
});
