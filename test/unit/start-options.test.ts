import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";

const root = join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");

test("a container starts Node with the options of `npm start`, and has compiled the code with them", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: { start: string } };
  const words = /^CMD (\[.*\])$/m.exec(read("Dockerfile"))?.[1] ?? "[]";
  expect(scripts.start).toBe(`exec ${(JSON.parse(words) as string[]).join(" ")}`);
  // V8 asks for code that was compiled with the same ones.
  const [compile = ""] = /^RUN node .*scripts\/compile\.ts$/m.exec(read("Dockerfile")) ?? [];
  expect(compile.replace("RUN", "exec").replace("scripts/compile.ts", "main.ts")).toBe(scripts.start);
  expect(scripts.start).toMatch(/^exec node --\S+ --\S+ main\.ts$/);
});
