import { subscribe } from "node:diagnostics_channel";
import type { FastifyInstance } from "fastify";

/** Fastify announces each instance on this channel before it has any route: all that it ever serves can be recorded. */
export function recordServed(): { routes(): string[]; reset(): void } {
  let found: string[] = [];
  subscribe("fastify.initialization", (message) => {
    const { fastify } = message as { fastify: FastifyInstance };
    fastify.addHook("onRoute", ({ method, url, config }) => {
      // Stands for the methods that a path does not have.
      if (config?.allow !== undefined) return;
      for (const one of [method].flat()) found.push(`${one} ${url}`);
    });
  });
  return { routes: () => found.toSorted(), reset: () => void (found = []) };
}
