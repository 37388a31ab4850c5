import { argon2Sync, createHash, pbkdf2Sync, scryptSync, timingSafeEqual } from "node:crypto";

/**
 * Passwords as the Django service stored them (`django.contrib.auth.hashers`, versions 4.2 to 6.0): imported accounts keep
 * them until the first sign-in. An unusable password (`!…`) and the hashers that the original never had belong to none.
 */

/** bcrypt's own comparison, handed in because bcrypt has one door. */
export type CompareBcrypt = (text: string, hash: string) => boolean;

interface Scheme {
  readonly form: RegExp;
  /** @param groups what the form's named groups have found */
  readonly matches: (
    password: string,
    groups: Readonly<Record<string, string>>,
    compareBcrypt: CompareBcrypt,
  ) => boolean;
}

/**
 * What one comparison may cost: the dearest default of those Django versions with some room, about 0.7 s on one core and
 * 128 MiB. Who can write a row of the database must not be able to keep a thread busy for an hour.
 */
const limits = {
  pbkdf2Iterations: 2_000_000,
  bcryptRounds: 13,
  scryptBlocks: 2 ** 20,
  argon2Kib: 2 ** 17,
  argon2Work: 2 ** 19,
};

const pbkdf2Form = /^pbkdf2_sha256\$(?<iterations>[1-9][0-9]{0,6})\$(?<salt>[^$]+)\$(?<hash>[A-Za-z0-9+/]{43}=)$/;

const schemes: readonly Scheme[] = [
  {
    form: pbkdf2Form,
    matches: (password, { iterations, salt = "", hash = "" }) =>
      Number(iterations) <= limits.pbkdf2Iterations &&
      equal(pbkdf2Sync(password, salt, Number(iterations), 32, "sha256"), hash),
  },
  {
    // bcrypt would cut the password off at 72 bytes: it gets the SHA-256 of it, in hexadecimal digits.
    form: /^bcrypt_sha256\$(?<hash>\$2[ab]\$(?<rounds>[0-9]{2})\$[./A-Za-z0-9]{53})$/,
    matches: (password, { rounds, hash = "" }, compareBcrypt) =>
      Number(rounds) <= limits.bcryptRounds && compareBcrypt(createHash("sha256").update(password).digest("hex"), hash),
  },
  {
    form: /^scrypt\$(?<n>[1-9][0-9]{0,6})\$(?<salt>[^$]+)\$(?<r>[1-9][0-9]?)\$(?<p>[1-9][0-9]?)\$(?<hash>[A-Za-z0-9+/]{86}==)$/,
    matches: (password, { n, r, p, salt = "", hash = "" }) => {
      const [N, blockSize, parallelization] = [Number(n), Number(r), Number(p)];
      const isPowerOfTwo = N > 1 && (N & (N - 1)) === 0;
      if (!isPowerOfTwo || N * blockSize * parallelization > limits.scryptBlocks) return false;
      const cost = { N, r: blockSize, p: parallelization, maxmem: 256 * limits.scryptBlocks };
      return equal(scryptSync(password, salt, 64, cost), hash);
    },
  },
  {
    form: /^argon2\$argon2id\$v=19\$m=(?<m>[1-9][0-9]{0,6}),t=(?<t>[1-9][0-9]?),p=(?<p>[1-9][0-9]?)\$(?<salt>[A-Za-z0-9+/]{11,64})\$(?<hash>[A-Za-z0-9+/]{22,86})$/,
    matches: (password, { m, t, p, salt = "", hash = "" }) => {
      const [memory, passes, parallelism] = [Number(m), Number(t), Number(p)];
      if (memory > limits.argon2Kib || memory * passes > limits.argon2Work || memory < 8 * parallelism) return false;
      const tagLength = Buffer.from(hash, "base64").length;
      const cost = { memory, passes, parallelism, tagLength };
      return equal(argon2Sync("argon2id", { message: password, nonce: Buffer.from(salt, "base64"), ...cost }), hash);
    },
  },
];

/** Whether a stored password has the form of one of Django's hashes. */
export const isDjangoHash = (stored: string): boolean => schemes.some(({ form }) => form.test(stored));

/**
 * Takes 0.1 to 0.3 s of a core at Django's defaults: for a worker thread. What is malformed or too dear never matches.
 * The original trimmed what was sent to it, but its administration pages did not: both forms count.
 */
export function verifyDjangoHashSync(stored: string, password: string, compareBcrypt: CompareBcrypt): boolean {
  return schemes.some(({ form, matches }) => {
    const groups = form.exec(stored)?.groups;
    return groups !== undefined && formsOf(password).some((typed) => matches(typed, groups, compareBcrypt));
  });
}

/** A hash of no password that takes as long to compare: a match would be found sooner, and tell somebody's password. */
export const decoyOf = (stored: string): string => stored.replace(/[^$]+$/, (hash) => hash.replaceAll(/[^=]/g, "A"));

/** Takes as long as a wrong password for the dearer hash takes longer than one for the other. Both are PBKDF2, or it is nothing. */
export function makeUpForSync(dearer: string, other: string, password: string): void {
  const missing = iterationsOf(dearer) - iterationsOf(other);
  if (missing > 0) for (const typed of formsOf(password)) pbkdf2Sync(typed, "no salt", missing, 32, "sha256");
}

/** Of those that are computed; NaN for another hasher. */
function iterationsOf(stored: string): number {
  const iterations = Number(pbkdf2Form.exec(stored)?.groups?.["iterations"]);
  return iterations > limits.pbkdf2Iterations ? 0 : iterations;
}

const formsOf = (password: string): string[] => [...new Set([trimmed(password), password])];

/** Python's `str.strip`: `trim` would keep U+0085 and take U+FEFF away. */
const trimmed = (text: string): string => text.replace(/^\p{White_Space}+/u, "").replace(/\p{White_Space}+$/u, "");

const equal = (computed: Buffer, base64: string): boolean => {
  const stored = Buffer.from(base64, "base64");
  return stored.length === computed.length && timingSafeEqual(stored, computed);
};
