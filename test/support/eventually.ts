/** Asks again and again until there is an answer; what the last try said is in the error. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  withinMs = 15_000,
): Promise<T> {
  const end = Date.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${withinMs} ms`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
