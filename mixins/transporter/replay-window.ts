/** How far behind the newest number one may arrive: connections that are made anew mix the order of a moment. */
const windowSize = 8192;

/** The numbers that were met, as IPsec keeps them (RFC 4303 section 3.4.3, RFC 6479): 1 KB, however many there were. */
export class ReplayWindow {
  #newest = -1;
  readonly #met = new Uint32Array(windowSize / 32);

  /** @returns whether a number is met for the first time; one that is too old to be known counts as met */
  take(number: number): boolean {
    if (number <= this.#newest - windowSize) return false;
    if (number > this.#newest) this.#moveTo(number);
    const at = number % windowSize;
    const [word, bit] = [at >>> 5, 1 << (at & 31)];
    const before = this.#met[word] ?? 0;
    this.#met[word] = before | bit;
    return (before & bit) === 0;
  }

  #moveTo(newest: number): void {
    if (newest - this.#newest >= windowSize) this.#met.fill(0);
    else {
      for (let number = this.#newest + 1; number <= newest; number++) {
        const at = number % windowSize;
        this.#met[at >>> 5] = (this.#met[at >>> 5] ?? 0) & ~(1 << (at & 31));
      }
    }
    this.#newest = newest;
  }
}
