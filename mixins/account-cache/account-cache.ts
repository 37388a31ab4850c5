import type { Account } from "../accounts/account.ts";

/**
 * Where accounts are kept between two reads. It may forget, be slow or be away, but it never rejects: whoever asks in
 * vain reads the database.
 */
export interface AccountCache {
  get(id: number): Promise<Account | undefined>;
  /** Keeps what was read, unless something newer (`revision`) is known. */
  put(account: Account): Promise<void>;
  /** Whatever is older than this revision counts no more. */
  outdated(id: number, revision: number): Promise<void>;
  /** Whether it answers at the moment. */
  works(): Promise<boolean>;
  close(): void;
}

/** How long an account is kept, in ms: as old may a view become of whose change nobody was told (a lost broadcast). */
export const keptMs = 5000;
