/**
 * How long old views outlive a change. Readers of every node never stop asking while accounts are changed, one change
 * after the other; what a change wrote is its number, so that each answer tells how old it is.
 */
export interface Watched {
  /** Makes the change with this number; resolves when it was acknowledged. */
  change(number: number): Promise<void>;
  /** The same view by way of each node. @returns the number that it shows */
  readonly views: readonly (() => Promise<number>)[];
}

export interface Staleness {
  readonly changes: number;
  readonly reads: number;
  /** Of each change, in ms: from its acknowledgement to the last question that was still answered without it. Ascending. */
  readonly ages: readonly number[];
}

interface Acknowledged {
  readonly number: number;
  readonly at: number;
  age: number;
}

/** @param changes of each account; @param readers of each of its views */
export async function measureStaleness(
  accounts: readonly Watched[],
  { changes, readers }: { changes: number; readers: number },
): Promise<Staleness> {
  const measured = await Promise.all(accounts.map((account) => measureOne(account, changes, readers)));
  const ages = measured.flatMap((one) => one.ages).sort((a, b) => a - b);
  return { changes: ages.length, reads: measured.reduce((sum, { reads }) => sum + reads, 0), ages };
}

async function measureOne(account: Watched, changes: number, readers: number) {
  const acknowledged: Acknowledged[] = [];
  const state = { reads: 0, done: false };
  /** The newest number that each view has shown. */
  const shown = account.views.map(() => 0);
  const reading = account.views.flatMap((view, index) =>
    Array.from({ length: readers }, async () => {
      while (!state.done) {
        const asked = performance.now();
        const number = await view();
        state.reads++;
        shown[index] = Math.max(shown[index] ?? 0, number);
        for (const change of acknowledged) {
          if (change.number > number && change.at < asked) change.age = Math.max(change.age, asked - change.at);
        }
      }
    }),
  );
  const changing = async () => {
    for (let number = 1; number <= changes; number++) {
      await account.change(number);
      acknowledged.push({ number, at: performance.now(), age: 0 });
      // Every other time all views have shown it before the next: then caches are full and quiet.
      while (number % 2 === 0 && Math.min(...shown) < number) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  try {
    await Promise.race([changing(), Promise.all(reading)]);
    while (Math.min(...shown) < changes) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    state.done = true;
  }
  await Promise.all(reading);
  return { reads: state.reads, ages: acknowledged.map(({ age }) => age) };
}

export const quantile = (ascending: readonly number[], q: number): number =>
  ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * q))] ?? NaN;
