import { invalidFields } from "../../lib/errors.ts";
import type { Account } from "../../mixins/accounts/account.ts";
import { isCommonPassword } from "./common-passwords.ts";

const minLength = 8;
const maxLength = 128;

/**
 * What a new password must be: 8 to 128 code points, whatever they are (NIST SP 800-63B-4: no composition rules), not a
 * common one, and not made of what everybody knows about the account.
 * @param field where the password stood in the request
 * @param known e-mail, names and the company's name
 * @throws ServiceError `invalid_input`
 */
export function checkNewPassword(field: string, password: string, known: readonly string[]): void {
  const length = Array.from(password).length;
  const refuse = (message: string) => invalidFields({ [field]: message });
  if (length < minLength) throw refuse(`This password is too short. It must contain at least ${minLength} characters.`);
  if (length > maxLength) throw refuse(`This password is too long. It must contain at most ${maxLength} characters.`);
  // Half a surrogate pair has no UTF-8 form: different passwords would become the same bytes.
  if (!password.isWellFormed()) throw refuse("This password has a character that is not valid.");
  const plain = simplified(password);
  if (isCommonPassword(plain)) throw refuse("This password is too common.");
  const words = known.flatMap((text) => [text, text.split("@")[0] ?? ""]).map(simplified);
  if (words.some((word) => isMadeOf(plain, word))) {
    throw refuse("This password is too similar to your personal information.");
  }
}

/** The same for an account that exists. */
export function checkAccountPassword(
  { companyName }: { readonly companyName: string },
  field: string,
  password: string,
  { email, profile }: Account,
): void {
  checkNewPassword(field, password, [email, profile.firstName, profile.lastName, companyName]);
}

const simplified = (text: string): string => text.normalize("NFC").toLowerCase().replaceAll(/\s+/g, "");

/** A known word with a few characters around it is the first thing that a guesser tries. */
function isMadeOf(password: string, word: string): boolean {
  const minWord = 4;
  const fewCharacters = 4;
  return word.length >= minWord && password.includes(word) && password.length - word.length <= fewCharacters;
}
