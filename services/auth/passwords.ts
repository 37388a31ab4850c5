import { createHash, createHmac, randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import bcrypt from "bcrypt";
import type { Config } from "../../lib/config.ts";
import { HashQueue } from "./hash-queue.ts";

/**
 * Stored form: `v1:<pepper id>:<bcrypt hash>`. bcrypt reads 72 bytes and no more, so it gets base64(HMAC-SHA-384), 64
 * characters that depend on every byte of the password (OWASP Password Storage). Scheme, pepper and cost can each change:
 * an outdated hash still verifies and is replaced at the next login.
 */
const scheme = "v1";
const bcryptForm = /^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$/;

interface Pepper {
  readonly id: string;
  readonly key: string;
}

export interface Passwords {
  /** @throws ServiceError `unavailable` when too many hashes wait already */
  hash(password: string): Promise<string>;
  /** Takes as long without a stored hash as with one, so that nobody learns by the clock which addresses exist. */
  verify(
    password: string,
    stored: string | undefined,
  ): Promise<{ readonly matches: boolean; readonly outdated: boolean }>;
}

const pepperOf = (key: string | undefined): Pepper => ({
  id: key === undefined ? "none" : createHash("sha256").update(`pepper id ${key}`).digest("hex").slice(0, 8),
  key: key ?? "",
});

export function createPasswords(config: Config["password"]): Passwords {
  // As many as cores: more only take turns. The queue is what two cores hash in about two seconds at cost 10.
  const queue = new HashQueue(availableParallelism(), 32 * availableParallelism());
  const current = pepperOf(config.pepper);
  const peppers = [current, pepperOf(config.previousPepper), pepperOf(undefined)];
  const decoy = bcrypt.hash(randomBytes(32).toString("base64"), config.hashCost);

  // The same text typed on another keyboard may be composed differently (NIST SP 800-63B, section 3.1.1.2): NFC.
  const peppered = (pepper: Pepper, password: string) =>
    createHmac("sha384", pepper.key).update(password.normalize("NFC")).digest("base64");

  return {
    hash: async (password) => {
      const hash = await queue.run(() => bcrypt.hash(peppered(current, password), config.hashCost));
      return `${scheme}:${current.id}:${hash}`;
    },
    verify: async (password, stored) => {
      const [storedScheme, pepperId, hash] = stored?.split(":", 3) ?? [];
      const pepper = peppers.find((candidate) => candidate.id === pepperId);
      const usable = storedScheme === scheme && pepper !== undefined && hash !== undefined && bcryptForm.test(hash);
      const against = usable ? hash : await decoy;
      const matches = await queue.run(() => bcrypt.compare(peppered(pepper ?? current, password), against));
      const outdated = usable && (pepper !== current || bcrypt.getRounds(hash) !== config.hashCost);
      return { matches: usable && matches, outdated };
    },
  };
}
