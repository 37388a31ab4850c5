import type { EnvReader } from "./env-reader.ts";
import { readAuthorities } from "./tls-files.ts";

/** How mails leave the house. */
export function mailConfig(env: EnvReader, production: boolean) {
  const host = env.required("EMAIL_HOST");
  const user = env.optional("EMAIL_HOST_USER");
  return {
    host,
    port: env.port("EMAIL_PORT", 587),
    user,
    password: user === undefined ? undefined : env.password("EMAIL_HOST_PASSWORD", user, production),
    /** TLS from the first byte. */
    ssl: env.boolean("EMAIL_USE_SSL", false),
    /**
     * Otherwise STARTTLS, or nothing is said at all: links and our own password would cross the network for everybody to
     * read, and whoever sits in between takes STARTTLS out of the server's greeting.
     */
    requireTls: env.boolean("EMAIL_REQUIRE_TLS", production && !isThisMachine(host)),
    /** PEM. */
    ca: readAuthorities(env, "EMAIL_TLS"),
    /** Mails a second; about as many as a node of two cores can register people. */
    rateLimit: env.integer("EMAIL_RATE_LIMIT", 20, { min: 1, max: 1000 }),
    from: env.email("EMAIL_FROM", "EMAIL_HOST_USER"),
  };
}

const isThisMachine = (host: string): boolean => /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
