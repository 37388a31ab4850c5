import { createHash } from "node:crypto";
import { errorType, ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { findCredentials } from "../../mixins/accounts/accounts.repository.ts";
import type { Transaction } from "../../mixins/database/database.ts";
import type { AuthDeps } from "./deps.ts";
import { findIdempotencyKey, insertIdempotencyKey } from "./idempotency.repository.ts";

/** A registration that its client may send again. */
export interface Repeatable {
  readonly keyHash: Buffer;
  /** Of everything but the password, which is compared by its slow hash. */
  readonly requestHash: Buffer;
  readonly password: string;
}

interface Registration {
  readonly idempotency_key?: string | null;
  readonly password: string;
}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

/** @param input as validated: its fields come in the order in which the contract names them, or in the client's */
export function repeatable(role: string, input: Registration): Repeatable | undefined {
  const { idempotency_key: key, password, ...rest } = input;
  if (key === undefined || key === null) return undefined;
  return { keyHash: sha256(key), requestHash: sha256(JSON.stringify([role, sorted(rest)])), password };
}

const sorted = (value: unknown): unknown =>
  typeof value === "object" && value !== null
    ? Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, each]) => [name, sorted(each)])
    : value;

/** The account that the same request has made before. */
export interface Earlier {
  readonly userId: number;
  /** As it was when the password was compared. */
  readonly sessionEpoch: number;
}

/**
 * Creates an account once: the same request again, afterwards or at the same time, finds the account that the first one
 * made (`repeat`).
 * @throws ServiceError `idempotency_key_reused` when the key came with another request
 */
export async function once<T>(
  deps: AuthDeps,
  request: Repeatable | undefined,
  actor: Actor,
  { create, repeat }: { create: () => Promise<T>; repeat: (earlier: Earlier) => Promise<T> },
): Promise<T> {
  const earlier = request && (await madeBy(deps, request, actor));
  if (earlier !== undefined) return await repeat(earlier);
  try {
    return await create();
  } catch (error) {
    // Somebody was quicker: perhaps the same request, which has now taken the key or the address.
    const tooLate = ["invalid_input", "idempotency_key_reused"].includes(errorType(error) ?? "");
    const meanwhile = request && tooLate ? await madeBy(deps, request, actor) : undefined;
    if (meanwhile === undefined) throw error;
    return await repeat(meanwhile);
  }
}

/** In the transaction that creates the account. */
export async function rememberRequest(tx: Transaction, request: Repeatable, userId: number): Promise<void> {
  if (!(await insertIdempotencyKey(tx, request, userId))) throw new ServiceError("idempotency_key_reused");
}

/** @returns `undefined` when no request with this key has made an account */
async function madeBy(deps: AuthDeps, request: Repeatable, actor: Actor): Promise<Earlier | undefined> {
  const remembered = await findIdempotencyKey(deps.db, request.keyHash);
  if (!remembered) return undefined;
  const { userId, requestHash } = remembered;
  const credentials = await findCredentials(deps.db, { id: userId });
  const { matches } = await deps.passwords.verify(request.password, credentials?.passwordHash, actor);
  if (!matches) deps.refusals.tell("authn_login_fail", actor, { subjectId: userId });
  if (!matches || !credentials || !requestHash.equals(request.requestHash)) {
    throw new ServiceError("idempotency_key_reused");
  }
  return { userId, sessionEpoch: credentials.sessionEpoch };
}
