/** A bucket of tokens that fills again by itself. */
export class Room {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  /** Milliseconds of `performance.now()`. */
  #countedAt = performance.now();

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
  }

  hasSome(): boolean {
    const now = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#countedAt) / 1000) * this.#perSecond);
    this.#countedAt = now;
    return this.#tokens >= 1;
  }

  take(): void {
    this.#tokens--;
  }
}
