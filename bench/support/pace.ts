/** Does a job every so many milliseconds, whether or not the last one has ended; left out while too many have not. */
export function every(milliseconds: number, maxAtOnce: number, job: () => Promise<unknown>): () => void {
  const began = performance.now();
  let [due, open] = [0, 0];
  const run = async (): Promise<void> => {
    open++;
    await job();
    open--;
  };
  const timer = setInterval(
    () => {
      for (; due < (performance.now() - began) / milliseconds; due++) if (open < maxAtOnce) void run();
    },
    Math.max(5, milliseconds / 2),
  );
  return () => clearInterval(timer);
}
