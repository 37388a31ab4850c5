/**
 * One definition per shape, a fastest-validator schema kept as a literal. From it come the static type (`Infer`)
 * and the JSON Schema 2020-12 that OpenAPI 3.1 uses (`toJsonSchema`).
 */
interface Common {
  readonly optional?: boolean;
  readonly nullable?: boolean;
  readonly default?: unknown;
  readonly description?: string;
  readonly example?: unknown;
}
interface StringRule extends Common {
  readonly type: "string";
  readonly min?: number;
  readonly max?: number;
  readonly length?: number;
  /** A string, not a RegExp: that is lost when a schema travels between nodes. */
  readonly pattern?: string;
  readonly trim?: boolean;
  readonly empty?: boolean;
  /** Says in OpenAPI what the use case checks. */
  readonly format?: "email" | "date" | "date-time" | "uri" | "password" | "uuid";
}
interface NumberRule extends Common {
  readonly type: "number";
  readonly min?: number;
  readonly max?: number;
  readonly integer?: boolean;
}
interface BooleanRule extends Common {
  readonly type: "boolean";
}
interface EnumRule extends Common {
  readonly type: "enum";
  readonly values: readonly (string | number)[];
}
interface ArrayRule extends Common {
  readonly type: "array";
  readonly items: Rule;
  readonly max?: number;
}
interface ObjectRule extends Common {
  readonly type: "object";
  readonly props: Shape;
  /** What happens to properties that are not listed: refused (`true`), dropped (`"remove"`). */
  readonly strict: true | "remove";
}
/** For answers alone: fastest-validator has no such rule. */
interface EitherRule extends Common {
  readonly type: "either";
  readonly of: readonly Rule[];
}
export type Rule = EitherRule | StringRule | NumberRule | BooleanRule | EnumRule | ArrayRule | ObjectRule;
export interface Shape {
  readonly [property: string]: Rule;
}

type Simplify<T> = { [K in keyof T]: T[K] } & {};
type Base<R> = R extends { type: "string" }
  ? string
  : R extends { type: "number" }
    ? number
    : R extends { type: "boolean" }
      ? boolean
      : R extends { type: "enum"; values: readonly (infer V)[] }
        ? V
        : R extends { type: "array"; items: infer I }
          ? InferRule<I>[]
          : R extends { type: "object"; props: infer P }
            ? Infer<P>
            : R extends { type: "either"; of: readonly (infer E)[] }
              ? InferRule<E>
              : never;
/** The static type of one rule. */
// `Rule` itself contains itself: of a rule that is not known more closely nothing can be said.
export type InferRule<R> = [Rule] extends [R] ? unknown : R extends { nullable: true } ? Base<R> | null : Base<R>;
type Optional<S, Marks> = { [K in keyof S]: S[K] extends Marks ? K : never }[keyof S];
type Absent<S> = Exclude<Optional<S, { optional: true }>, Optional<S, { default: unknown }>>;
type AbsentIn<S> = Optional<S, { optional: true } | { default: unknown }>;
type Fields<S, Missing extends keyof S> = Simplify<
  { [K in Exclude<keyof S, Missing>]: InferRule<S[K]> } & { [K in Missing]?: InferRule<S[K]> }
>;
/** What a handler gets: after validation, so with the defaults filled in. */
export type Infer<S> = string extends keyof S ? Record<string, unknown> : Fields<S, Absent<S>>;
/** What a caller sends. */
export type Input<S> = string extends keyof S ? Record<string, unknown> : Fields<S, AbsentIn<S>>;

/** Keeps the literal types of a rule without `as const`. */
export const rule = <const R extends Rule>(r: R): R => r;

export interface JsonSchema {
  readonly [key: string]: unknown;
}
const defined = (o: JsonSchema): JsonSchema => Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined));

function baseSchema(r: Rule): JsonSchema {
  switch (r.type) {
    case "string":
      return {
        type: "string",
        minLength: r.length ?? r.min ?? (r.empty === false ? 1 : undefined),
        maxLength: r.length ?? r.max,
        pattern: r.pattern,
        format: r.format,
      };
    case "number":
      return { type: r.integer ? "integer" : "number", minimum: r.min, maximum: r.max };
    case "boolean":
      return { type: "boolean" };
    case "either":
      return { anyOf: r.of.map(ruleToJsonSchema) };
    case "enum":
      return { type: typeof r.values[0] === "number" ? "number" : "string", enum: r.values };
    case "array":
      return { type: "array", items: ruleToJsonSchema(r.items), maxItems: r.max };
    case "object":
      return toJsonSchema(r.props, r.strict === "remove");
  }
}

export function ruleToJsonSchema(r: Rule): JsonSchema {
  const base = defined(baseSchema(r));
  const type = base["type"];
  const nullable = base["enum"] ? { anyOf: [base, { type: "null" }] } : { ...base, type: [type, "null"] };
  return defined({
    ...(r.nullable ? nullable : base),
    default: r.default,
    description: r.description,
    examples: r.example === undefined ? undefined : [r.example],
  });
}

/** @param open whether properties that are not listed are allowed. */
export function toJsonSchema(shape: Shape, open = false): JsonSchema {
  const required = Object.entries(shape).flatMap(([name, r]) => (r.optional || r.default !== undefined ? [] : [name]));
  return {
    type: "object",
    properties: Object.fromEntries(Object.entries(shape).map(([name, r]) => [name, ruleToJsonSchema(r)])),
    ...(required.length > 0 && { required }),
    ...(!open && { additionalProperties: false }),
  };
}

/** Makes `null` an error unless a rule says `nullable`: by default fastest-validator lets it through `optional`. */
export const validatorOptions = {
  considerNullAsAValue: true,
  defaults: Object.fromEntries(
    ["string", "number", "boolean", "enum", "array", "object"].map((type) => [type, { nullable: false }]),
  ),
};
