import { createRequire } from "node:module";

let known: ReadonlySet<string> | undefined;

/**
 * Whether a password is among the 49,000 most common ones (@zxcvbn-ts/language-common, from breached lists; offline).
 * Read at the first new password: most nodes run for a long time without one, and it takes 50 ms.
 * @param simplified lower case, without white space
 */
export function isCommonPassword(simplified: string): boolean {
  known ??= new Set(load()["passwords-common"]);
  return known.has(simplified);
}

function load(): { readonly "passwords-common": readonly string[] } {
  const { dictionary } = createRequire(import.meta.url)("@zxcvbn-ts/language-common") as {
    dictionary: { "passwords-common": readonly string[] };
  };
  return dictionary;
}
