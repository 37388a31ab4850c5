import { Validators } from "moleculer";
import { validatorOptions, type Rule } from "./schema.ts";

/** Answers which field does not fit and how (`data.role: enumValue`), and never with its value; undefined when all fit. */
export type Checker = (value: unknown) => string | undefined;

const validator = new Validators.Fastest(validatorOptions);

/** Checks by the broker's own validator, outside of a call. It may fill in what the rule has defaults for. */
export function checker(rule: Rule): Checker {
  // The broker's typings say less than fastest-validator gives: true, or what is wrong.
  const check = validator.compile({ $$root: true, ...rule }) as unknown as (value: unknown) => true | Problem[];
  return (value) => {
    const problems = check(value);
    return problems === true ? undefined : problems.map(({ field, type }) => `${field ?? ""}: ${type}`).join(", ");
  };
}

interface Problem {
  readonly field?: string;
  readonly type: string;
}
