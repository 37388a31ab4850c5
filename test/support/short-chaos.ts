import { randomInt } from "node:crypto";
import { runChaos } from "../../scripts/chaos/run.ts";

/**
 * Some seconds of `npm run chaos`.
 * @param kinds of faults; all when left out
 * @returns what was wrong, and the seed of its choices
 * @throws when hardly anything has happened
 */
export async function shortChaos(kinds?: readonly string[]) {
  const seed = randomInt(2 ** 31);
  const lines: string[] = [];
  try {
    const { audit, journal, faults } = await runChaos(
      { minutes: 0.12, seed, clients: 4, relayKills: 0 },
      { log: (line) => lines.push(line), stop: new AbortController().signal, ...(kinds && { kinds }) },
    );
    const { findings, acknowledged } = audit;
    if (acknowledged < 20 || faults.length === 0)
      throw new Error(`only ${acknowledged} changes, ${faults.length} faults`);
    return { seed, findings, unexpected: journal.unexpected };
  } catch (error) {
    throw new Error(`seed ${seed}: ${lines.join("; ")}`, { cause: error });
  }
}
