import type { Log } from "./log.ts";

export interface Loop {
  /** Runs the work soon, without waiting for the next turn. */
  wake(): void;
  /** Lets the work that runs finish, then ends. */
  stop(): Promise<void>;
}

/**
 * Runs `work` over and over, one at a time: again at once while it answers "more", else after `intervalMs` or when woken.
 * A failure is logged and waits twice as long each time, up to `maxPauseMs` (30 s), with jitter.
 */
export function repeat(
  name: string,
  log: Log,
  intervalMs: number,
  work: () => Promise<"more" | "done">,
  { maxPauseMs = 30_000 } = {},
): Loop {
  let stopped = false;
  let woken = false;
  let failures = 0;
  let wakeUp = (): void => undefined;

  const pause = async (ms: number): Promise<void> => {
    if (woken || stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };

  const run = async (): Promise<void> => {
    while (!stopped) {
      woken = false;
      try {
        const outcome = await work();
        if (failures > 0) log.info({ loop: name, failures }, `${name} works again`);
        failures = 0;
        if (outcome === "done") await pause(intervalMs);
      } catch (error) {
        failures++;
        const reason = error instanceof Error ? error.message : String(error);
        log.warn({ loop: name, failures, reason }, `${name} failed and will try again`);
        woken = false;
        const wait = Math.min(maxPauseMs, intervalMs * 2 ** Math.min(failures, 10));
        await pause(wait * (0.5 + Math.random() / 2));
      }
    }
  };
  const running = run();

  return {
    wake: () => {
      // While it fails, hints do not shorten the back-off: a busy service would hammer what is already down.
      if (failures > 0) return;
      woken = true;
      wakeUp();
    },
    stop: async () => {
      stopped = true;
      wakeUp();
      await running;
    },
  };
}
