import { X509Certificate } from "node:crypto";
import type { EnvReader } from "./env-reader.ts";

/** How mails leave the house. */
export function mailConfig(env: EnvReader, production: boolean) {
  const host = env.required("EMAIL_HOST");
  const user = env.optional("EMAIL_HOST_USER");
  const ca = env.file("EMAIL_TLS_CA");
  if (ca !== undefined && !isCertificate(ca))
    env.problem("EMAIL_TLS_CA", "names a file that holds no certificate in PEM");
  return {
    host,
    port: env.port("EMAIL_PORT", 587),
    user,
    password: user === undefined ? undefined : env.required("EMAIL_HOST_PASSWORD"),
    /** TLS from the first byte. */
    ssl: env.boolean("EMAIL_USE_SSL", false),
    /**
     * Otherwise STARTTLS, or nothing is said at all: links and our own password would cross the network for everybody to
     * read, and whoever sits in between takes STARTTLS out of the server's greeting.
     */
    requireTls: env.boolean("EMAIL_REQUIRE_TLS", production && !isThisMachine(host)),
    /** PEM. */
    ca,
    /** Mails a second; about as many as a node of two cores can register people. */
    rateLimit: env.integer("EMAIL_RATE_LIMIT", 20, { min: 1, max: 1000 }),
    from: env.email("EMAIL_FROM", "EMAIL_HOST_USER"),
  };
}

const isThisMachine = (host: string): boolean => /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);

/** Of what is none OpenSSL says nothing: it would believe no server. */
function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== "";
  } catch {
    return false;
  }
}
