import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

export interface ChaosOptions {
  readonly minutes: number;
  /** Of the choices; the moments are the machine's, so two runs with one seed are alike and not the same. */
  readonly seed: number;
  /** People who use the service at the same time. */
  readonly clients: number;
  /** Relays that are killed between a commit and its mark, after the rest. */
  readonly relayKills: number;
}

/** The command was called wrongly: `EX_USAGE` of sysexits.h. */
export const usageExitCode = 64;
export const usage = `Usage: npm run chaos -- [--minutes 10] [--seed n] [--clients 6] [--relay-kills 0]`;

const numbers = {
  minutes: { fallback: 10, min: 0.1, max: 1440, whole: false },
  seed: { fallback: undefined, min: 0, max: 2 ** 31 - 1, whole: true },
  clients: { fallback: 6, min: 1, max: 200, whole: true },
  "relay-kills": { fallback: 0, min: 0, max: 10_000, whole: true },
} as const;
type Name = keyof typeof numbers;

export class ChaosUsageError extends Error {
  override readonly name = "ChaosUsageError";
}

/** @throws ChaosUsageError that names what is wrong, and not its value */
export function readChaosOptions(args: readonly string[]): ChaosOptions {
  const values = parsed(args);
  const number = (name: Name, fallback: number): number => {
    const text = values[name];
    if (text === undefined) return fallback;
    const { min, max, whole } = numbers[name];
    const value = /^[0-9]+(?:\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
    throw new ChaosUsageError(`--${name} must be a ${whole ? "whole " : ""}number from ${min} to ${max}`);
  };
  return {
    minutes: number("minutes", numbers.minutes.fallback),
    seed: number("seed", randomInt(2 ** 31)),
    clients: number("clients", numbers.clients.fallback),
    relayKills: number("relay-kills", numbers["relay-kills"].fallback),
  };
}

function parsed(args: readonly string[]): Partial<Record<Name, string>> {
  const option = { type: "string" } as const;
  try {
    const options = { minutes: option, seed: option, clients: option, "relay-kills": option };
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    // Node's sentence names the option, or calls what stands alone by its value.
    const [, unknown, option = ""] = /(unknown )?option '(--[a-z-]{1,30})/i.exec(String(error)) ?? [];
    const says = unknown
      ? `there is no option ${option}`
      : option
        ? `${option} needs a value`
        : "what stands alone is no option";
    throw new ChaosUsageError(says, { cause: error });
  }
}
