import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { startChild, type Child } from "./child.ts";
import { Skipped } from "../row.ts";

const folder = join(import.meta.dirname, "../rivals");

/** Installs what we compare with; the project itself has none of it among its dependencies. @throws Skipped without a registry */
export function installRivals(log: (line: string) => void): void {
  if (existsSync(join(folder, "node_modules/better-auth"))) return;
  log("installing bench/rivals (moleculer-web, better-auth)");
  // No package of them needs a script of its own.
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
  const { status, stderr } = spawnSync("npm", args, {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new Skipped(`npm ci in bench/rivals failed: ${stderr.slice(-500)}`);
}

export interface Rival extends Child {
  /** What is asked for. */
  readonly url: string;
  /** A `Cookie` header for each person who is signed in. */
  readonly cookies: readonly string[];
}

export async function startRival(name: "moleculer-web" | "better-auth", args: readonly string[] = []): Promise<Rival> {
  const child = startChild(join(folder, `${name}.js`), { env: { NODE_ENV: "production" }, args });
  const { url, cookies } = JSON.parse(await child.ready) as Pick<Rival, "url" | "cookies">;
  return { ...child, url, cookies };
}
