import { setTimeout as pause } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { ServiceError } from "../../lib/errors.ts";
import type { AccessChanges, AccessState } from "../accounts/access.repository.ts";

/** Who owns accounts and sessions, asked over the broker. */
export interface AccessSource {
  states(of: readonly { user_id: number; session_id: string }[], timeoutMs: number): Promise<readonly AccessState[]>;
  /** @returns null when too much has changed to be listed */
  changes(seconds: number): Promise<AccessChanges | null>;
}
type Account = Omit<AccessState, "session_id" | "session_ended">;
interface Entry {
  readonly revision: number;
  /** Undefined when only that revision is known to exist, and not what it says. */
  readonly account: Account | undefined;
  /** `performance.now()` */
  readonly at: number;
}
export interface Standing {
  readonly account: Account;
  readonly sessionEnded: boolean;
}
interface Wanted {
  readonly of: { readonly user_id: number; readonly session_id: string };
  readonly answer: PromiseWithResolvers<Standing | undefined>;
  reads: number;
}

/** Of accounts and of sessions: 20 MB for both when they are full, however many there are in all. */
const maxEntries = 50_000;
const batchSize = 500;
const maxReads = 3;
/** Between two questions. 10,000 first tokens, 128 in flight: 160 to 190 questions without it, 120 to 140 with it. */
const gatherMs = 5;
/** No read from before is still on its way; after a restore from a backup revisions may be lower for good. */
const settledMs = 10_000;
/** The callers of gRPC get their answer within a second, whatever it is. */
const loadTimeoutMs = 800;
/** While the source cannot be asked, what is known serves this much longer; after that it no longer counts. */
const serveUnsyncedMs = 30_000;
/** For what no list of changes tells: accounts deleted by hand, a backup restored, a machine that was suspended. */
const maxAgeMs = 300_000;
/** Changes carry the time at which they were made and are seen when they commit: the longest transaction (15 s) twice. */
const overlapSeconds = 30;

/**
 * A local copy of what access tokens depend on, so that a check costs neither a call nor a query. It is filled on demand,
 * kept fresh by broadcasts (`accountChanged`, `sessionsEnded`) and, in case one is lost, by `sync` over a window of time.
 */
export class AccessStates {
  readonly #source: AccessSource;
  readonly #accounts = new LRUCache<number, Entry>({ max: maxEntries });
  /** When it was seen alive, or that it has ended. */
  readonly #sessions = new LRUCache<string, number | "ended">({ max: maxEntries });
  readonly #wanted = new Map<string, Wanted>();
  #loading = false;
  #syncedAt = performance.now();
  /** Counts how often everything was forgotten: what was asked for before must not be kept. */
  #generation = 0;

  constructor(source: AccessSource) {
    this.#source = source;
  }

  /** What is known right now, without asking anybody. */
  known(userId: number, sessionId: string): Standing | undefined {
    const entry = this.#accounts.get(userId);
    const session = this.#sessions.get(sessionId);
    if (entry?.account === undefined || session === undefined) return undefined;
    if (performance.now() - this.#syncedAt > serveUnsyncedMs) return undefined;
    const oldest = session === "ended" ? entry.at : Math.min(entry.at, session);
    // By the last sync and not by now: while nobody can be asked, nothing gets too old before those 30 s are over.
    if (this.#syncedAt - oldest > maxAgeMs) return undefined;
    return { account: entry.account, sessionEnded: session === "ended" };
  }

  /**
   * Asks for what is not known. Many who ask in one turn of the event loop, or while a question is under way and a moment
   * after it, share the next one; what several want is asked for once.
   * @returns undefined when there is no such account
   */
  load(userId: number, sessionId: string): Promise<Standing | undefined> {
    const key = keyOf(userId, sessionId);
    let wanted = this.#wanted.get(key);
    if (!wanted) {
      wanted = { of: { user_id: userId, session_id: sessionId }, answer: Promise.withResolvers(), reads: 0 };
      this.#wanted.set(key, wanted);
    }
    if (!this.#loading) {
      this.#loading = true;
      setImmediate(() => void this.#loadAll());
    }
    return wanted.answer.promise;
  }

  /** Something newer than what is known exists. */
  accountChanged(userId: number, revision: number): void {
    const known = this.#accounts.get(userId);
    if (known && known.revision >= revision) return;
    this.#accounts.set(userId, { revision, account: undefined, at: performance.now() });
  }

  sessionsEnded(ids: readonly string[]): void {
    for (const id of ids) this.#sessions.set(id, "ended");
  }

  /** Learns what broadcasts may have failed to tell. @throws whatever the source throws: what is known then ages */
  async sync(): Promise<void> {
    const startedAt = performance.now();
    if (this.#accounts.size === 0) {
      // Nothing is known that could be out of date: an idle node asks nobody, and neither does one that still starts.
      this.#syncedAt = startedAt;
      return;
    }
    // What has got too old meanwhile needs no catching up with.
    const missedMs = Math.min(startedAt - this.#syncedAt, maxAgeMs);
    const changes = await this.#source.changes(overlapSeconds + Math.ceil(missedMs / 1000));
    if (changes === null) this.#forgetAll();
    for (const { user_id, revision } of changes?.accounts ?? []) this.accountChanged(user_id, revision);
    this.sessionsEnded(changes?.session_ids ?? []);
    this.#syncedAt = startedAt;
  }

  #forgetAll(): void {
    this.#generation++;
    this.#accounts.clear();
    this.#sessions.clear();
  }

  async #loadAll(): Promise<void> {
    while (this.#wanted.size > 0) {
      const wanted = [...this.#wanted.values()];
      const questions: Promise<void>[] = [];
      for (let from = 0; from < wanted.length; from += batchSize) {
        questions.push(this.#ask(wanted.slice(from, from + batchSize)));
      }
      // All at once: one after the other, the last ones would wait a timeout for each when there is no answer.
      await Promise.all(questions);
      // Callers who were answered come back one after the other: without a pause each would get a question of its own.
      await pause(gatherMs);
    }
    this.#loading = false;
  }

  /** Settles those for whom there is an answer; the others stay wanted. */
  async #ask(batch: readonly Wanted[]): Promise<void> {
    const generation = this.#generation;
    try {
      const asked = batch.map(({ of }) => of);
      const found = await this.#source.states(asked, loadTimeoutMs);
      const states = new Map(found.map((state) => [keyOf(state.user_id, state.session_id), state]));
      for (const wanted of batch) {
        const state = states.get(keyOf(wanted.of.user_id, wanted.of.session_id));
        const standing = state && generation === this.#generation ? this.#keep(state) : undefined;
        // Older than what a broadcast has told meanwhile: asked for again, but not for ever.
        if (state && !standing && ++wanted.reads < maxReads) continue;
        this.#wanted.delete(keyOf(wanted.of.user_id, wanted.of.session_id));
        if (state && !standing) wanted.answer.reject(new ServiceError("unavailable"));
        else wanted.answer.resolve(standing);
      }
    } catch (error) {
      for (const { of, answer } of batch) {
        this.#wanted.delete(keyOf(of.user_id, of.session_id));
        answer.reject(error);
      }
    }
  }

  /** @returns how things stand after a read; undefined when something newer exists and is not known */
  #keep({ session_id, session_ended, ...account }: AccessState): Standing | undefined {
    const now = performance.now();
    const { user_id: userId, revision } = account;
    // A session that has ended never lives again: a read from before does not revive it.
    const sessionEnded = session_ended || this.#sessions.get(session_id) === "ended";
    this.#sessions.set(session_id, sessionEnded ? "ended" : now);
    const known = this.#accounts.get(userId);
    if (known && known.revision > revision && now - known.at < settledMs) {
      return known.account && { account: known.account, sessionEnded };
    }
    this.#accounts.set(userId, { revision, account, at: now });
    return { account, sessionEnded };
  }
}

const keyOf = (userId: number, sessionId: string): string => `${userId} ${sessionId}`;
