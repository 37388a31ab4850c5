import type { Clock } from "../../lib/clock.ts";
import { loadConfig, type Config, type Env } from "../../lib/config.ts";
import type { Log } from "../../lib/log.ts";
import type { Actor, Principal } from "../../lib/principal.ts";

/** Every unit test lives on this day, at noon UTC. */
export const now = Date.parse("2026-03-15T12:00:00Z");
export const nowSeconds = now / 1000;
export const frozenClock: Clock = { now: () => now };
export const laterBy = (seconds: number): Clock => ({ now: () => now + seconds * 1000 });

export const secret = "current-secret-0123456789-abcdefghij";
export const otherSecret = "another-secret-9876543210-zyxwvutsr";
export const secrets = { current: secret, previous: undefined };
/** After a rotation: what `secrets` signed is what the previous secret signed. */
export const rotatedSecrets = { current: otherSecret, previous: secret };

export const sessionId = "0b8f2f6e-3c1d-4f5a-9b7c-1d2e3f4a5b6c";

/** All that a production node with every service must be told. */
export const productionEnv: Env = {
  NODE_ENV: "production",
  SECRET_KEY: secret,
  PUBLIC_URL: "https://id.example.com",
  PG_HOST: "db",
  PG_DATABASE: "identity",
  PG_USER: "identity",
  PG_PASSWORD: "a-long-database-password",
  EMAIL_HOST: "smtp",
  EMAIL_FROM: "no-reply@example.com",
  KAFKA_BOOTSTRAP_SERVER_HOST: "kafka",
};

export const config = (changes: Env = {}): Config => loadConfig({ ...productionEnv, NODE_ENV: "test", ...changes });

export const principal = (changes: Partial<Principal> = {}): Principal => ({
  userId: 7,
  sessionId,
  role: "CU",
  verified: true,
  ...changes,
});
export const actor = (changes: Partial<Actor> = {}): Actor => ({
  principal: undefined,
  call: "call-1",
  requestId: "request-1",
  traceparent: undefined,
  ip: "192.0.2.1",
  userAgent: "test",
  device: undefined,
  ...changes,
});

export interface LoggedLine {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A log that remembers what it was told. */
export function memoryLog(): Log & { readonly lines: LoggedLine[]; readonly text: () => string } {
  const lines: LoggedLine[] = [];
  const at = (bindings: object) => {
    const level = (name: string) => (fields: object, message: string) =>
      void lines.push({ level: name, fields: { ...bindings, ...fields }, message });
    return {
      debug: level("debug"),
      info: level("info"),
      warn: level("warn"),
      error: level("error"),
      child: (more: object): unknown => at({ ...bindings, ...more }),
    };
  };
  return { ...(at({}) as unknown as Log), lines, text: () => JSON.stringify(lines) };
}

/** What a promise was rejected with; fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it was not rejected");
}

/** What a function threw; fails when it did not. */
export function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** Milliseconds that something takes: the best of three, since others share this machine. */
export function bestTime(run: () => unknown): number {
  const times = [1, 2, 3].map(() => {
    const before = performance.now();
    run();
    return performance.now() - before;
  });
  return Math.min(...times);
}

/** `true` only when each type can stand for the other: `const same: Same<A, B> = true` is checked by the compiler. */
export type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
