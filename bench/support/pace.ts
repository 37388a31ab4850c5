/** Does a job every so many milliseconds, whether or not the last one has ended; many a tick where timers are too slow. */
export function every(milliseconds: number, job: () => void): () => void {
  const began = performance.now();
  let done = 0;
  const timer = setInterval(
    () => {
      const due = (performance.now() - began) / milliseconds;
      for (; done < due; done++) job();
    },
    Math.max(5, milliseconds / 2),
  );
  return () => clearInterval(timer);
}
