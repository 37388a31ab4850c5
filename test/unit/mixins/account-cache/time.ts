import { jest } from "@jest/globals";

/**
 * Lets time pass for what measures it by `performance.now()`, without waiting. (lru-cache holds on to the object that jest's
 * fake timers would replace, and remembers the time for a millisecond.) Undone by `jest.restoreAllMocks`.
 */
export async function pass(milliseconds: number): Promise<void> {
  const later = performance.now() + milliseconds;
  const startedAt = Date.now();
  jest.restoreAllMocks();
  jest.spyOn(performance, "now").mockImplementation(() => later + Date.now() - startedAt);
  await new Promise((resolve) => setTimeout(resolve, 5));
}
