import bcrypt from "bcrypt";
import { makeUpForSync, verifyDjangoHashSync } from "../django-hashes.ts";
import { costOf, decoyOf } from "./bcrypt-form.ts";

interface Compare {
  readonly cost: number;
  readonly password: string;
  /** As dear as the dearest of Django's hashes that are stored: what it takes to refuse it, every wrong password takes. */
  readonly dearest: string | undefined;
}

/** What a worker thread is given to do. `cost` is the current one: log2 of bcrypt's rounds. */
export type HashJob =
  | { readonly kind: "hash"; readonly secret: string; readonly cost: number }
  /** Without a hash there is nothing to match, and it takes just as long. */
  | (Compare & { readonly kind: "compare"; readonly secret: string; readonly hash: string | undefined })
  | (Compare & { readonly kind: "compare-django"; readonly hash: string });

/** The hash, or whether it matched. */
export type HashAnswer = string | boolean;

/** Keeps its thread busy until it is done: run it in a worker. */
export function runHashJob(job: HashJob): HashAnswer {
  switch (job.kind) {
    case "hash":
      return bcrypt.hashSync(job.secret, job.cost);
    case "compare":
      return compare(job.secret, job.hash, job.cost) || failAsDjango(job);
    case "compare-django":
      return compareDjango(job) || failAsDjango(job, job.hash);
  }
}

/**
 * Takes as long as one compare at the current cost, whatever is stored and whether it matches, so that nobody learns by
 * the clock which addresses exist or how old their hashes are. Each step up doubles the work, so a compare at the stored
 * cost c and then at c, c+1, … C-1 is exactly the work of one at C. Only a hash of a higher cost than the current one
 * takes longer: after the cost was lowered, until its owner signs in.
 */
function compare(secret: string, hash: string | undefined, cost: number): boolean {
  const against = hash ?? decoyOf(cost);
  const matches = bcrypt.compareSync(secret, against);
  for (let lower = costOf(against); lower < cost; lower++) bcrypt.compareSync(secret, decoyOf(lower));
  return matches && hash !== undefined;
}

/** What bcrypt takes for any other account is taken as well. */
function compareDjango({ password, hash, cost }: Compare & { readonly hash: string }): boolean {
  const matches = verifyDjangoHashSync(hash, password, bcrypt.compareSync);
  bcrypt.compareSync(password, decoyOf(cost));
  return matches;
}

/** The work that is missing for the dearest hash, so that nobody learns by the clock which accounts were imported. */
function failAsDjango({ password, dearest }: Compare, done?: string): false {
  if (dearest === undefined) return false;
  if (done === undefined) verifyDjangoHashSync(dearest, password, bcrypt.compareSync);
  else makeUpForSync(dearest, done, password);
  return false;
}
