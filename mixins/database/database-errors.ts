import pg from "pg";
import { ServiceError } from "../../lib/errors.ts";

const serializationFailure = "40001";
const deadlock = "40P01";
const uniqueViolation = "23505";
/**
 * SQLSTATEs that mean "not now": no connection (08), resources (53), operator intervention such as a restart or a
 * cancelled statement (57), lock not available (55P03), and a server that became a read-only standby (25006).
 */
const notNow = /^(?:08|53|57)...$|^55P03$|^25006$|^25P03$|^40001$|^40P01$/;
/** System errors of the socket. */
const socketLost = /^(?:ECONN|EPIPE|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)/;
/** Whole phrases of pg and pg-pool, which have no code. */
const driverLost =
  /^timeout exceeded when trying to connect|^Query read timeout|^Connection terminated|connection error and is not queryable|^Client was closed|^Cannot use a pool after calling end/;

const sqlState = (error: unknown): string | undefined => (error instanceof pg.DatabaseError ? error.code : undefined);

/** A transaction that PostgreSQL gave up in favour of another: safe to run again from its start. */
export const isRepeatable = (error: unknown): boolean =>
  [serializationFailure, deadlock].includes(sqlState(error) ?? "");

export const isUniqueViolation = (error: unknown, constraint: string): boolean =>
  error instanceof pg.DatabaseError && error.code === uniqueViolation && error.constraint === constraint;

/** The connection is gone or silent, as the driver and the socket say it: without an SQLSTATE. */
export function isConnectionLost(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof ServiceError || sqlState(error) !== undefined) return false;
  const systemCode = "code" in error && typeof error.code === "string" ? error.code : "";
  return socketLost.test(systemCode) || driverLost.test(error.message);
}

/** The database being away becomes `unavailable`; everything else stays as it is. */
export function databaseErrorMapped(error: unknown): unknown {
  const away = isConnectionLost(error) || notNow.test(sqlState(error) ?? "");
  return away ? new ServiceError("unavailable", { retryAfterSeconds: 2 }, { cause: error }) : error;
}
