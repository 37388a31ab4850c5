import { startProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

/** The service as operators run it: `node main.ts` in a process of its own, over real HTTP, PostgreSQL and SMTP. */
export async function startStand(changes: Record<string, string> = {}): Promise<TestStand> {
  const stand = await createStand(changes);
  const running = startProcess(stand.env);
  await running.ready();
  return {
    ...stand,
    stop: async () => {
      await running.stop();
      await stand.stop();
    },
  };
}
