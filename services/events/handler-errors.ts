import { errorType } from "../../lib/errors.ts";

/** "Not now", in our words and in Moleculer's: says nothing about the message, so it may come again for ever. */
const notNow: ReadonlySet<string | undefined> = new Set([
  "unavailable",
  "too_many_requests",
  "SERVICE_NOT_FOUND",
  "SERVICE_NOT_AVAILABLE",
  "REQUEST_TIMEOUT",
  "REQUEST_REJECTED",
  "QUEUE_FULL",
  "BAD_GATEWAY",
]);

export const isNotNow = (error: unknown): boolean => notNow.has(errorType(error));

/** The action's own contract says no: it will say so at every attempt. */
export const isRefusal = (error: unknown): boolean => errorType(error) === "VALIDATION_ERROR";

/** For logs: a message may hold what the event says of somebody. */
export const kindOf = (error: unknown): string =>
  errorType(error) ?? (error instanceof Error ? error.name : "unknown error");

/** For the dead letter, which holds the event anyway. */
export const reasonOf = (error: unknown): string =>
  `${kindOf(error)}: ${error instanceof Error ? error.message : String(error)}`;
