import type { Config } from "../../lib/config.ts";

const localHosts = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether a browser's page at this origin may use us: exactly ours, exactly a configured one, or, in development, this machine's. */
export function originRule(config: Pick<Config, "production" | "publicUrl" | "web">): (origin: string) => boolean {
  const allowed = new Set([new URL(config.publicUrl).origin, ...(config.web.corsOrigins ?? [])]);
  const anyLocal = !config.production && config.web.corsOrigins === undefined;
  return (origin) => allowed.has(origin) || (anyLocal && localHosts.has(URL.parse(origin)?.hostname ?? ""));
}

/**
 * Whether a state-changing request comes from a page that may not make it. A browser says so itself (Fetch Metadata), an
 * older one by `Origin`; with neither it is no browser, and nobody's cookies can be abused.
 */
export function isForeignRequest(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  mayUse: (origin: string) => boolean,
): boolean {
  const site = headers["sec-fetch-site"];
  const origin = headers["origin"];
  if (site === "same-origin" || site === "none") return false;
  if (typeof origin === "string") return !mayUse(origin);
  return site !== undefined;
}
