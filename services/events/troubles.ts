import type { ReceivedMessage } from "./kafka.ts";

/** Longer than two pauses of a message that comes again: what is older has gone to another node with its partition. */
const forgottenAfterMs = 75_000;

interface Trouble {
  readonly offset: string;
  readonly count: number;
  /** `performance.now()` of the last failure. */
  readonly at: number;
}
type Place = Pick<ReceivedMessage, "topic" | "partition" | "offset">;

/** The message that each partition waits for, if it does, and how often it failed by its own fault. */
export function createTroubles() {
  const troubles = new Map<string, Trouble>();
  const where = ({ topic, partition }: Place): string => `${topic}/${partition}`;
  const countOf = (place: Place): number => {
    const trouble = troubles.get(where(place));
    return trouble?.offset === place.offset ? trouble.count : 0;
  };
  const note = (place: Place, count: number): void => {
    troubles.set(where(place), { offset: place.offset, count, at: performance.now() });
  };
  return {
    /** Its partition waits while `work` fails, and goes on when it does not. */
    async during(place: Place, work: () => Promise<void>): Promise<void> {
      try {
        await work();
        troubles.delete(where(place));
      } catch (error) {
        note(place, countOf(place));
        throw error;
      }
    },
    /** @returns the number of failures with this one */
    count(place: Place): number {
      const count = countOf(place) + 1;
      note(place, count);
      return count;
    },
    waiting(): number {
      for (const [key, { at }] of troubles) if (performance.now() - at > forgottenAfterMs) troubles.delete(key);
      return troubles.size;
    },
  };
}
