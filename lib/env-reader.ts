import { readFileSync } from "node:fs";
import { readEmailAddress } from "./email-address.ts";
import { readIsoTime } from "./iso-time.ts";

export type Env = Readonly<Record<string, string | undefined>>;

const minSecretBytes = 32;
const weakPasswords = new Set(
  "postgres password changeme admin secret root user test guest default nats redis kafka 123456 12345678".split(" "),
);
const durationUnits = { s: 1, m: 60, h: 3600, d: 86_400 };

function weaknessOf(user: string, password: string): string | undefined {
  const plain = password.toLowerCase();
  if (weakPasswords.has(plain)) return "a default password";
  return plain !== "" && plain === user.toLowerCase() ? "a password that is its user's name" : undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The same eight characters again and again: without the first eight it still begins as it did. */
const isRepeated = (text: string): boolean => text.startsWith(text.slice(8));

/**
 * Reads typed values out of an environment and collects what is wrong with it, naming the variable and never its value.
 * Every method returns something of its type even when the value is bad, so that all problems are found in one pass.
 * An empty variable counts as unset.
 */
export class EnvReader {
  readonly problems: string[] = [];
  readonly #env: Env;

  constructor(env: Env) {
    this.#env = env;
  }

  problem(name: string, what: string): void {
    this.problems.push(`${name} ${what}`);
  }

  optional(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === "" ? undefined : value;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  required(name: string): string {
    const value = this.optional(name);
    if (value === undefined) this.problem(name, "is required");
    return value ?? "";
  }

  /** @param user whose it is */
  password(name: string, user: string, strict: boolean): string {
    const value = this.required(name);
    const weakness = weaknessOf(user, value);
    if (strict && weakness !== undefined) this.problem(name, `is ${weakness}`);
    return value;
  }

  /** A user and a password that stand in a URL; the same as for those that have variables of their own. */
  credentials(name: string, { username, password }: URL, strict: boolean): void {
    const weakness = weaknessOf(decoded(username), decoded(password));
    if (strict && weakness !== undefined) this.problem(name, `has ${weakness}`);
  }

  secret(name: string, strict: boolean): string {
    this.required(name);
    return this.optionalSecret(name, strict) ?? "";
  }

  /** What was given is as good as if it were required: a previous secret still verifies everything. */
  optionalSecret(name: string, strict: boolean): string | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (Buffer.byteLength(value) < minSecretBytes) this.problem(name, `has fewer than ${minSecretBytes} bytes`);
    else if (new Set(value).size < 8) this.problem(name, "has too few different characters");
    else if (strict && isRepeated(value)) this.problem(name, "is a shorter text, repeated");
    if (strict && /insecure|change.?me/i.test(value)) this.problem(name, "is a default secret");
    return value;
  }

  integer(name: string, fallback: number, range: { min: number; max: number }): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^[0-9]{1,9}$/.test(text) && value >= range.min && value <= range.max) return value;
    this.problem(name, `must be a whole number from ${range.min} to ${range.max}`);
    return fallback;
  }

  port(name: string, fallback: number): number {
    return this.integer(name, fallback, { min: 0, max: 65_535 });
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.optional(name)?.toLowerCase();
    if (value === undefined) return fallback;
    if (!["true", "false", "1", "0"].includes(value)) this.problem(name, "must be True or False");
    return value === "true" || value === "1";
  }

  /**
   * Seconds from `90s`, `15m`, `12h` or `10d`.
   * @param mostDays that it may be
   */
  duration(name: string, fallback: number, mostDays = Infinity): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const [, count, unit] = /^([1-9][0-9]{0,6})([smhd])$/.exec(text) ?? [];
    if (count === undefined) {
      this.problem(name, "must be a time such as 90s, 15m, 12h or 10d");
      return fallback;
    }
    const seconds = Number(count) * durationUnits[unit as keyof typeof durationUnits];
    if (seconds > mostDays * durationUnits.d) this.problem(name, `must be at most ${mostDays}d`);
    return seconds;
  }

  /** Milliseconds since 1970 of a day (`2026-12-31`, its beginning in UTC) or a time in ISO 8601. */
  date(name: string): number | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    const time = readIsoTime(text);
    if (time === undefined) this.problem(name, "must be a date such as 2026-12-31 or 2026-12-31T18:00:00Z");
    return time;
  }

  oneOf<const T extends string>(name: string, values: readonly T[], fallback: T): T {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = values.find((v) => v === text.toLowerCase());
    if (value === undefined) this.problem(name, `must be one of ${values.join(", ")}`);
    return value ?? fallback;
  }

  /** Comma-separated names; all of them when unset. */
  list<const T extends string>(name: string, values: readonly T[]): readonly T[] {
    const text = this.optional(name);
    if (text === undefined) return values;
    const parts = text.split(",").map((part) => part.trim());
    const known = values.filter((value) => parts.includes(value));
    if (known.length !== new Set(parts).size) this.problem(name, `must be a list out of ${values.join(", ")}`);
    return known;
  }

  url(name: string, protocols: readonly string[]): string | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    const url = URL.parse(text);
    if (!url || !protocols.includes(url.protocol)) {
      this.problem(name, `must be a URL that starts with ${protocols.join(" or ")}//`);
    }
    return text;
  }

  /** Exact origins; `undefined` when unset. */
  origins(name: string): readonly string[] | undefined {
    const parts = this.optional(name)
      ?.split(",")
      .map((part) => part.trim());
    if (parts?.some((part) => URL.parse(part)?.origin !== part)) {
      this.problem(name, "must be a list of origins such as https://app.example.com");
    }
    return parts;
  }

  email(name: string, fallbackName: string): string {
    const own = this.optional(name);
    const value = own ?? this.optional(fallbackName);
    const fits = value !== undefined && readEmailAddress(value) !== undefined;
    if (own !== undefined && !fits) this.problem(name, "must be an e-mail address");
    else if (!fits) this.problem(name, `is required when ${fallbackName} is no e-mail address`);
    return value ?? "";
  }

  /** The contents of the file that a variable names. */
  file(name: string): string | undefined {
    const path = this.optional(name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, "utf8");
    } catch {
      this.problem(name, "names a file that cannot be read");
      return undefined;
    }
  }
}
