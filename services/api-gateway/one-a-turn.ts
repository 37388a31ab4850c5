/** Does jobs in their order, one in a turn of the event loop: whatever else waits comes in between. */
export function oneATurn(): (job: () => void) => void {
  const jobs: (() => void)[] = [];
  const next = (): void => {
    jobs[0]?.();
    jobs.shift();
    if (jobs.length > 0) setImmediate(next);
  };
  return (job) => {
    jobs.push(job);
    if (jobs.length === 1) setImmediate(next);
  };
}
