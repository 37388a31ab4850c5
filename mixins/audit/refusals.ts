import { auditEntry, type About, type AuditEntry } from "../../lib/audit.ts";
import type { Actor } from "../../lib/principal.ts";
import type { AuditedEvent, SecurityLog } from "../../lib/security-log.ts";

/** So many of a kind at once, then so many a second: what comes beyond that is counted. */
const burst = 60;
const perSecond = { named: 1, anonymous: 0.1 } as const;
/** While they cannot be written. */
const maxWaiting = 500;
/** How often the service that has them should write them. */
export const flushMs = 500;

interface Kind {
  readonly perSecond: number;
  tokens: number;
  /** Milliseconds of `performance.now()`. */
  countedAt: number;
  /** The newest one that was too many, and how many others were since the last that was not. */
  held: AuditEntry | undefined;
  suppressed: number;
}

/**
 * Security events of which no transaction tells: in the log at once, in the audit log soon, and bounded, so that whoever is
 * refused again and again can neither fill a table nor keep the database busy. Each kind of event has a bound of its own, and
 * so have those about known accounts: a flood of guesses at addresses that nobody has hides none at somebody's.
 */
export class Refusals {
  readonly #log: SecurityLog;
  readonly #write: (entries: readonly AuditEntry[]) => Promise<void>;
  readonly #kinds = new Map<string, Kind>();
  #waiting: AuditEntry[] = [];

  constructor(log: SecurityLog, write: (entries: readonly AuditEntry[]) => Promise<void>) {
    this.#log = log;
    this.#write = write;
  }

  tell(event: AuditedEvent, actor: Actor, about: About = {}): void {
    this.#log(event, actor, { subject_id: about.subjectId, ...about.details });
    const entry = auditEntry(event, actor, about);
    const kind = this.#kindOf(entry);
    if (this.#admits(kind)) return void this.#waiting.push(entry);
    if (kind.held) kind.suppressed++;
    kind.held = entry;
  }

  /** @throws whatever writing throws: nothing is lost then, and the next call tries again */
  async flush(): Promise<"done"> {
    for (const kind of this.#kinds.values()) if (kind.held && this.#admits(kind)) this.#release(kind, kind.held);
    await this.#writeWaiting();
    return "done";
  }

  /** Before the end: what was held back as well. */
  async close(): Promise<void> {
    for (const kind of this.#kinds.values()) if (kind.held) this.#release(kind, kind.held);
    await this.#writeWaiting();
  }

  async #writeWaiting(): Promise<void> {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    try {
      await this.#write(batch);
    } catch (error) {
      this.#waiting = [...batch, ...this.#waiting];
      throw error;
    }
  }

  #kindOf({ event, actor_id, subject_id }: AuditEntry): Kind {
    const name = actor_id === null && subject_id === null ? "anonymous" : "named";
    const key = `${event} ${name}`;
    const fresh = { perSecond: perSecond[name], tokens: burst, countedAt: performance.now(), suppressed: 0 };
    const kind = this.#kinds.get(key) ?? { ...fresh, held: undefined };
    this.#kinds.set(key, kind);
    return kind;
  }

  #admits(kind: Kind): boolean {
    const now = performance.now();
    kind.tokens = Math.min(burst, kind.tokens + ((now - kind.countedAt) / 1000) * kind.perSecond);
    kind.countedAt = now;
    if (kind.tokens < 1 || this.#waiting.length >= maxWaiting) return false;
    kind.tokens--;
    return true;
  }

  /** The newest stands for all that were too many. */
  #release(kind: Kind, entry: AuditEntry): void {
    const { suppressed } = kind;
    this.#waiting.push(suppressed === 0 ? entry : { ...entry, details: { ...entry.details, suppressed } });
    kind.held = undefined;
    kind.suppressed = 0;
  }
}
