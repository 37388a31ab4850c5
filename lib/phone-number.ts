import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/** A phone number as E.164 (`+375291234567`), or `undefined` when no such number can exist. Needs the country code. */
export function readPhoneNumber(typed: string): string | undefined {
  if (typed.length > 64) return undefined;
  const number = parsePhoneNumberFromString(typed.trim(), { extract: false });
  return number?.isValid() === true ? number.number : undefined;
}
