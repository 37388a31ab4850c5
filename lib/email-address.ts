import { domainToASCII } from "node:url";

/** One address, two spellings: `address` is where mail goes, `canonical` decides whether two addresses are the same account. */
export interface EmailAddress {
  readonly address: string;
  readonly canonical: string;
}

/** RFC 5321, less one for the angle brackets of the path. */
const maxLength = 254;
const maxLocalLength = 64;
/** RFC 5322 dot-atom in ASCII: no quotes, comments, groups, lists or control characters, which mail libraries parse differently. */
const local = /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/i;
/** Letters, digits, marks, dots and hyphens alone: `domainToASCII` would decode `%41` and parse `0x7f.1`. */
const domainCharacters = /^[\p{L}\p{N}\p{M}.-]+$/u;
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const asciiDomain = new RegExp(`^(?:${label}\\.)+(?=[a-z0-9-]*[a-z])${label}$`);

/**
 * Reads what somebody typed; `undefined` when it is no address that we would write to.
 * Case and surrounding space do not count, a domain is IDNA's ASCII form without a trailing dot, and a local part is
 * ASCII alone: `\u212Aate@b.co` (Kelvin sign) is refused rather than becoming somebody else's `kate@b.co`.
 */
export function readEmailAddress(typed: string): EmailAddress | undefined {
  if (typed.length > 4 * maxLength) return undefined;
  const text = typed.trim();
  const at = text.lastIndexOf("@");
  const name = text.slice(0, at);
  const host = text.slice(at + 1).replace(/\.$/, "");
  if (at < 1 || name.length > maxLocalLength || !local.test(name) || !domainCharacters.test(host)) return undefined;
  const domain = domainToASCII(host);
  const address = `${name}@${domain}`;
  if (!asciiDomain.test(domain) || address.length > maxLength) return undefined;
  return { address, canonical: address.toLowerCase() };
}
