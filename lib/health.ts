import { rule, type InferRule } from "./schema.ts";

/** `degraded`: something waits, and nothing is lost. `down`: requests fail. */
export const healthRule = rule({
  type: "object",
  strict: true,
  props: { status: { type: "enum", values: ["ok", "degraded", "down"] } },
});
export type Health = InferRule<typeof healthRule>;
