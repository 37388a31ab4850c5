import { LRUCache } from "lru-cache";
import { auditEntry, type About, type AuditEntry } from "../../lib/audit.ts";
import type { Actor } from "../../lib/principal.ts";
import type { AuditedEvent, SecurityLog } from "../../lib/security-log.ts";
import { Room } from "./room.ts";

/** So many of one event at once, then so many a second: what comes beyond that is counted. */
const bounds = {
  /** Where nobody is named. */
  anonymous: { burst: 60, perSecond: 0.1 },
  /** About one account, by whoever did it or else to whom it was done. */
  account: { burst: 60, perSecond: 0.2 },
  /** About all accounts together. */
  accounts: { burst: 600, perSecond: 2 },
} as const;
/** While they cannot be written. */
const maxWaiting = 500;
/** Accounts that are told apart at once; of those that went before what was held back is counted together. */
const maxKinds = 400;
/** How often the service that has them should write them. */
export const flushMs = 500;

interface Kind {
  readonly room: Room;
  /** Whose room is needed as well. */
  readonly within?: Kind;
  /** The newest one that was too many, and how many others were since the last that was not. */
  held?: AuditEntry | undefined;
  suppressed: number;
}

/**
 * Security events of which no transaction tells: in the log at once, in the audit log soon, and bounded, so that whoever
 * comes again and again can neither fill a table nor keep the database busy. Each event has a bound of its own, and in it
 * each account: who is refused a thousand times hides nothing of others, nor does a flood of guesses that name nobody.
 */
export class AuditBuffer {
  readonly #log: SecurityLog;
  readonly #write: (entries: readonly AuditEntry[]) => Promise<void>;
  /** By event: about nobody, and about all accounts together. */
  readonly #anonymous = new Map<string, Kind>();
  readonly #accounts = new Map<string, Kind>();
  /** By event and account. */
  readonly #kinds = new LRUCache<string, Kind>({
    max: maxKinds,
    dispose: (kind, _, reason) => {
      if (reason === "evict" && kind.held && kind.within) hold(kind.within, kind.held, kind.suppressed);
    },
  });
  #waiting: AuditEntry[] = [];

  constructor(log: SecurityLog, write: (entries: readonly AuditEntry[]) => Promise<void>) {
    this.#log = log;
    this.#write = write;
  }

  tell(event: AuditedEvent, actor: Actor, about: About = {}): void {
    this.#log(event, actor, { subject_id: about.subjectId, ...about.details });
    const entry = auditEntry(event, actor, about);
    const kind = this.#kindOf(entry);
    if (this.#admits(kind)) this.#waiting.push(entry);
    else hold(kind, entry);
  }

  /** @throws whatever writing throws: nothing is lost then, and the next call tries again */
  async flush(): Promise<"done"> {
    for (const kind of this.#all()) if (kind.held && this.#admits(kind)) this.#release(kind, kind.held);
    await this.#writeWaiting();
    return "done";
  }

  /** Before the end: what was held back as well. */
  async close(): Promise<void> {
    for (const kind of this.#all()) if (kind.held) this.#release(kind, kind.held);
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

  #all(): Kind[] {
    return [...this.#anonymous.values(), ...this.#accounts.values(), ...this.#kinds.values()];
  }

  #kindOf({ event, actor_id, subject_id }: AuditEntry): Kind {
    const account = actor_id ?? subject_id;
    if (account === null) return kindIn(this.#anonymous, event, () => new Room(bounds.anonymous));
    const within = kindIn(this.#accounts, event, () => new Room(bounds.accounts));
    return kindIn(this.#kinds, `${event} ${account}`, () => new Room(bounds.account), within);
  }

  #admits({ room, within }: Kind): boolean {
    const rooms = within ? [room, within.room] : [room];
    if (this.#waiting.length >= maxWaiting || !rooms.every((each) => each.hasSome())) return false;
    for (const each of rooms) each.take();
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

type Kinds = Pick<Map<string, Kind>, "get"> & { set(key: string, kind: Kind): unknown };

function kindIn(kinds: Kinds, key: string, room: () => Room, within?: Kind): Kind {
  const found = kinds.get(key);
  if (found) return found;
  const kind: Kind = { room: room(), suppressed: 0, ...(within && { within }) };
  kinds.set(key, kind);
  return kind;
}

/** @param others how many more it stands for */
function hold(kind: Kind, entry: AuditEntry, others = 0): void {
  kind.suppressed += others + (kind.held ? 1 : 0);
  kind.held = entry;
}
