/** Of the composed form, which may be longer than what was typed. */
const maxLength = 254;

/**
 * A first or last name: trimmed and in Unicode's composed form (NFC), so that the same name is the same string.
 * `undefined` for what is empty, has control characters (PostgreSQL cannot hold NUL) or half a surrogate pair.
 */
export function readPersonName(typed: string): string | undefined {
  const name = typed.normalize("NFC").trim();
  if (name.length > maxLength) return undefined;
  return name === "" || /\p{Cc}/u.test(name) || !name.isWellFormed() ? undefined : name;
}
