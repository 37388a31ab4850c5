import type { EnvReader } from "./env-reader.ts";

/** So many within so many seconds, which begin with the first one. */
export interface Budget {
  readonly limit: number;
  readonly seconds: number;
}
export type Budgets = ReturnType<typeof readBudgets>;
export type BudgetName = keyof Budgets;

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** What may be tried how often. The same table for people stands in docs/security.md, and a test compares the two. */
export function readBudgets(env: EnvReader) {
  // Not more than 50: those that are compared at the same time must fit below 100 in a row as well.
  const passwords = env.integer("THROTTLE_WRONG_PASSWORDS", 5, { min: 1, max: 50 });
  const perIp = env.integer("THROTTLE_PER_IP", 100, { min: 1, max: 1_000_000 });
  const mails = env.integer("THROTTLE_MAILS", 3, { min: 1, max: 1_000_000 });
  return {
    "wrong-passwords": { limit: passwords, seconds: 15 * minute },
    "wrong-passwords-from-ip": { limit: perIp, seconds: hour },
    "wrong-links-from-ip": { limit: perIp, seconds: hour },
    "wrong-refresh-tokens-from-ip": { limit: perIp, seconds: hour },
    "registrations-from-ip": { limit: perIp, seconds: hour },
    "reset-requests-from-ip": { limit: perIp, seconds: hour },
    "reset-mails": { limit: mails, seconds: hour },
    "verification-mails": { limit: mails, seconds: hour },
    /** New passwords that an owner is told of. */
    "password-changes": { limit: mails, seconds: hour },
    /** Confirmations to a new address. */
    "confirmation-mails": { limit: mails, seconds: hour },
    /** Changes that an old address is told of. */
    "address-changes": { limit: mails, seconds: hour },
  } satisfies Readonly<Record<string, Budget>>;
}

/** Wrong passwords in a row, with which the blocks grow; a right one begins anew. */
export const inARow = { most: 100, seconds: 30 * day } as const;

/**
 * How long nobody may try again after so many wrong passwords in a row; the blocks come after every `limit` of them.
 * NIST SP 800-63B allows 100: the last block comes early enough that what is compared at the same time stays below that.
 * @returns seconds; 0 for no block, Infinity for as long as the row is remembered
 */
export function blockSeconds({ limit }: Budget, wrong: number): number {
  if (wrong >= inARow.most - limit) return Infinity;
  return wrong % limit === 0 ? Math.min(day, 15 * minute * 2 ** (wrong / limit - 1)) : 0;
}
