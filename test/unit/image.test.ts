import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";

const root = join(import.meta.dirname, "../..");
const linesOf = (file: string): string[] =>
  readFileSync(join(root, file), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

const rules = linesOf(".dockerignore");
/** As Docker reads it: of the rules that say something about a path, or about a folder above it, the last one counts. */
function getsIn(path: string): boolean {
  const last = rules.findLast((rule) => {
    const named = rule.replace(/^!/, "");
    return named === "*" || path === named || path.startsWith(`${named}/`);
  });
  return last?.startsWith("!") === true;
}

describe(".dockerignore", () => {
  test("begins with everything out, and has no other pattern", () => {
    expect(rules[0]).toBe("*");
    expect(rules.slice(1).filter((rule) => !/^!?[\w./-]+$/.test(rule))).toEqual([]);
  });

  test("of what lies here, this gets into the image and nothing else", () => {
    const top = readdirSync(root);
    expect(top).toContain("test");
    expect(top.filter(getsIn).toSorted()).toEqual(
      [
        ...["lib", "mixins", "services", "protos", "migrations"],
        ...["main.ts", "node.ts", "moleculer.config.ts", "package.json", "package-lock.json"],
      ].toSorted(),
    );
    const scripts = readdirSync(join(root, "scripts")).map((name) => `scripts/${name}`);
    expect(scripts.filter(getsIn).toSorted()).toEqual(
      ["scripts/cli", "scripts/cli.ts", "scripts/compile.ts", "scripts/migrate.ts"].toSorted(),
    );
  });

  test.each([
    ...[".git", ".git/config", ".env", ".env.example", ".ci/run", ".data/secrets.json", ".cache/x", "node_modules/x"],
    ...["test/support/service.ts", "bench/run.ts", "docs/asvs.md", "coverage/sbom.cdx.json", "docker-compose.yml"],
    ...["scripts/seed.ts", "scripts/demo.ts", "scripts/fuzz.ts", "scripts/repl.ts", "scripts/chaos/world.ts"],
    ...["mixins/embedded/defaults.ts", "mixins/embedded/mail-catcher.ts", "Dockerfile", "eslint.config.js"],
  ])("%s stays out, here or not", (path) => {
    expect(getsIn(path)).toBe(false);
  });

  test("what is in a folder that gets in has nothing that only a developer has", () => {
    const folders = ["lib", "mixins", "services", "protos", "migrations", "scripts/cli"];
    const inside = folders.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
    );
    const files = inside.filter((path) => getsIn(path) && /\.\w+$/.test(path));
    expect(files.length).toBeGreaterThan(100);
    expect(files.filter((path) => /\.test\.|\.env|\.(?:pem|key|crt|log|map|sqlite)$/.test(path))).toEqual([]);
  });
});

describe("Dockerfile", () => {
  const lines = linesOf("Dockerfile");

  test("takes files from what .dockerignore lets in, and from nowhere else", () => {
    const taking = lines.filter((line) => /^(?:COPY|ADD)\b|--mount/i.test(line));
    expect(taking).toEqual(["COPY package.json package-lock.json ./", "COPY . ."]);
    expect(lines.filter((line) => /^FROM\b/i.test(line))).toEqual(["FROM node:24-slim"]);
  });

  test("has the packages of production alone, runs as production, and not as root", () => {
    expect(lines.join("\n")).toMatch(/^RUN npm ci --omit=dev --ignore-scripts\b/m);
    expect(lines).toContain("ENV NODE_ENV=production");
    expect(lines.findLast((line) => line.startsWith("USER "))).toBe("USER node");
  });

  test("holds no secret: neither as a variable nor as an argument", () => {
    const given = lines.filter((line) => /^(?:ENV|ARG)\b/i.test(line));
    expect(given).toEqual(["ENV NODE_ENV=production", "ENV DATA_DIR=/data"]);
  });
});
