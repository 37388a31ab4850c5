import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import ts from "typescript";

const root = join(import.meta.dirname, "../..");
const files = ["lib", "mixins", "services", "scripts"]
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  )
  .concat("main.ts", "node.ts", "moleculer.config.ts")
  .filter((file) => file.endsWith(".ts"));

/** Of `node:crypto`: where the name of the hash function stands among the arguments. */
const place = new Map<string, number>([
  ...(["createHash", "createHmac", "hash", "hkdf", "hkdfSync", "createSign", "createVerify"] as const).map(
    (name) => [name, 0] as const,
  ),
  ["pbkdf2", 4],
  ["pbkdf2Sync", 4],
]);

/** `lib/keys.ts: createHash("sha256")`, for each call in the text. */
function hashCallsIn(text: string, file: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
  // Ours that hash passwords have the same name.
  const isNodes = /\bhash\b[^}]*\} from "node:crypto"/.test(text);
  const calls: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const called = node.expression.getText(source).replace(/^.*\./s, "");
      const index = place.get(called);
      if (index !== undefined && (called !== "hash" || isNodes))
        calls.push(`${file}: ${called}(${node.arguments[index]?.getText(source) ?? ""})`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return calls;
}
const weak = (calls: readonly string[]) => calls.filter((call) => !/\("sha(?:256|384|512)"\)$/.test(call));

test("11.4.1 hash functions of the product: SHA-2 by its name, nothing older and nothing that is decided elsewhere", () => {
  const calls = files.flatMap((file) => hashCallsIn(readFileSync(join(root, file), "utf8"), file));
  expect(calls.length).toBeGreaterThan(15);
  expect(weak(calls)).toEqual([]);
});

test.each([
  'createHash("md5")',
  "createHash('sha1')",
  'crypto.createHmac("SHA1", key)',
  'hash("sha1", text)',
  "createHash(algorithm)",
  'pbkdf2Sync(a, b, 1, 32, "sha1")',
])("11.4.1 %s would be found", (call) => {
  expect(weak(hashCallsIn(`import { hash } from "node:crypto"; ${call}.digest();`, "x.ts"))).toHaveLength(1);
});
