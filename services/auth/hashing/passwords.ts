import { createHash, createHmac } from "node:crypto";
import { availableParallelism } from "node:os";
import type { Config } from "../../../lib/config.ts";
import { ServiceError } from "../../../lib/errors.ts";
import type { Log } from "../../../lib/log.ts";
import type { Actor } from "../../../lib/principal.ts";
import type { AbandonedCalls } from "../abandoned-calls.ts";
import { decoyOf, isDjangoHash } from "../django-hashes.ts";
import { costOf, isBcryptHash } from "./bcrypt-form.ts";
import type { HashJob } from "./hash-jobs.ts";
import { HashQueue } from "./hash-queue.ts";
import { HashWorkers } from "./hash-workers.ts";

/**
 * Stored form: `v1:<pepper id>:<bcrypt hash>`. bcrypt reads 72 bytes and no more, so it gets base64(HMAC-SHA-384), 64
 * characters that depend on every byte of the password (OWASP Password Storage). Scheme, pepper and cost can each change:
 * an outdated hash still verifies and is replaced at the next login. So does what was imported from Django.
 */
const scheme = "v1";

interface Pepper {
  readonly id: string;
  readonly key: string;
}

export interface Passwords {
  /** @throws ServiceError `unavailable` when too many hashes wait already */
  hash(password: string, actor: Actor): Promise<string>;
  /**
   * A wrong password takes as long without a stored hash as with any, so that nobody learns by the clock which addresses
   * exist. Accounts with hashes of several of Django's hashers are the exception: one of them is the measure.
   * @throws ServiceError `unavailable` when too many hashes wait already
   */
  verify(
    password: string,
    stored: string | undefined,
    actor: Actor,
  ): Promise<{ readonly matches: boolean; readonly outdated: boolean }>;
  /** @param dearest of Django's hashes that are stored; a right password costs no more for it */
  failAs(dearest: string | undefined): void;
  /** The client of this call went away: what has not begun for it is dropped. @param call `Actor.call` */
  abandon(call: string): void;
  /** Ends the threads; what waits or runs is `unavailable`. */
  close(): Promise<void>;
}

const pepperOf = (key: string | undefined): Pepper => ({
  id: key === undefined ? "none" : createHash("sha256").update(`pepper id ${key}`).digest("hex").slice(0, 8),
  key: key ?? "",
});

/** @param abandoned calls whose client has hung up */
export function createPasswords(
  config: Config["password"],
  log: Log,
  abandoned: Pick<AbandonedCalls, "has">,
): Passwords {
  const cost = config.hashCost;
  const cores = availableParallelism();
  const workers = new HashWorkers(log);
  // As many as cores: more only take turns.
  const queue = new HashQueue({ concurrency: cores, maxWaiting: cores * waitingPerCore(cost), maxWaitMs });
  let dearest: string | undefined;
  const current = pepperOf(config.pepper);
  const peppers = [current, pepperOf(config.previousPepper), pepperOf(undefined)];

  // The same text typed on another keyboard may be composed differently (NIST SP 800-63B, section 3.1.1.2): NFC.
  const peppered = (pepper: Pepper, password: string) =>
    createHmac("sha384", pepper.key).update(password.normalize("NFC")).digest("base64");
  const run = async (job: HashJob, { call }: Actor) => {
    // Before it was his turn to wait: what is counted and looked up takes a moment.
    if (abandoned.has(call)) throw new ServiceError("unavailable");
    return await queue.run(() => workers.run(job), call);
  };

  return {
    hash: async (password, actor) => {
      const hash = await run({ kind: "hash", secret: peppered(current, password), cost }, actor);
      return `${scheme}:${current.id}:${hash}`;
    },
    verify: async (password, stored, actor) => {
      if (stored !== undefined && isDjangoHash(stored)) {
        const matches = await run({ kind: "compare-django", password, hash: stored, cost, dearest }, actor);
        return { matches: matches === true, outdated: true };
      }
      const [storedScheme, pepperId, hash] = stored?.split(":", 3) ?? [];
      const pepper = peppers.find(({ id }) => id === pepperId);
      const usable = storedScheme === scheme && pepper !== undefined && hash !== undefined && isBcryptHash(hash);
      const secret = peppered(pepper ?? current, password);
      const compared = { kind: "compare", secret, hash: usable ? hash : undefined, cost, password, dearest } as const;
      const matches = await run(compared, actor);
      const outdated = usable && (pepper !== current || costOf(hash) !== cost);
      return { matches: matches === true, outdated };
    },
    failAs: (stored) => {
      dearest = stored !== undefined && isDjangoHash(stored) ? decoyOf(stored) : undefined;
    },
    abandon: (call) => queue.abandon(call),
    close: async () => {
      queue.clear();
      await workers.close();
    },
  };
}

/** A sign-in that also renews its hash waits twice, and a call is given up after 2.5 s (moleculer.config.ts). */
const maxWaitMs = 1200;

/** What a core does in about that time (two cores: 31 compares a second at cost 10, PERFORMANCE.md). */
const waitingPerCore = (cost: number): number => Math.max(1, Math.floor(16 * 2 ** Math.min(0, 10 - cost)));
