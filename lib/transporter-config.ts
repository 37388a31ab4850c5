import type { EnvReader } from "./env-reader.ts";
import { clientTls, type ClientTls } from "./tls-files.ts";

/** How nodes reach each other (`TRANSPORTER`). Credentials never leave this object: no log, no error. */
export type TransporterConfig = NatsConfig | RedisTransporterConfig | TcpConfig;

export interface NatsConfig {
  readonly kind: "nats";
  /** host:port */
  readonly servers: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: ClientTls | undefined;
}
export interface RedisTransporterConfig {
  readonly kind: "redis";
  /** With name and password. */
  readonly url: string;
  readonly tls: ClientTls | undefined;
}
export interface TcpConfig {
  readonly kind: "tcp";
  /** Of all nodes, this one among them or not. */
  readonly peers: readonly TcpAddress[];
  /** To listen on. */
  readonly host: string;
  readonly port: number;
}
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

const name = "TRANSPORTER";
const natsPort = "4222";
const encrypted = ["nats+tls:", "tls:", "rediss:"];
const known = ["nats:", "nats+tls:", "tls:", "redis:", "rediss:", "tcp:"];

/**
 * @param listenOn the address that this process listens on unless told otherwise
 * @param production whether default passwords are refused
 */
export function transporterConfig(
  env: EnvReader,
  listenOn: string,
  production: boolean,
): TransporterConfig | undefined {
  const files = clientTls(env, `${name}_TLS`);
  const [host, port] = [env.text(`${name}_TCP_HOST`, listenOn), env.port(`${name}_TCP_PORT`, 4000)];
  const text = env.optional(name);
  if (text === undefined) return undefined;
  const urls = readUrls(text);
  const protocol = urls?.[0]?.protocol;
  if (!urls || protocol === undefined || !fits(urls)) {
    env.problem(
      name,
      `must be one or more URLs with a host, which start with ${known.map((p) => `${p}//`).join(" or ")}`,
    );
    return undefined;
  }
  // They are the first URL's for all of them.
  if (urls[0]) env.credentials(name, urls[0], production);
  const tls = encrypted.includes(protocol) ? (files ?? {}) : undefined;
  if (files && !tls) env.problem(name, `must be nats+tls:// or rediss:// when a ${name}_TLS_ variable is set`);
  if (protocol === "tcp:") {
    const peers = urls.map((url) => ({ host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) }));
    return { kind: "tcp", peers, host, port };
  }
  if (protocol.startsWith("redis")) return { kind: "redis", url: text, tls };
  const [first] = urls;
  return {
    kind: "nats",
    servers: urls.map((url) => `${url.hostname}:${url.port || natsPort}`),
    user: first?.username ? decodeURIComponent(first.username) : undefined,
    password: first?.password ? decodeURIComponent(first.password) : undefined,
    tls,
  };
}

/** Several with commas; those after the first may leave out what comes before the host. */
function readUrls(text: string): readonly URL[] | undefined {
  const parts = text.split(",").map((part) => part.trim());
  const scheme = /^[a-z+]+:\/\//.exec(parts[0] ?? "")?.[0] ?? "";
  const urls = parts.map((part) => URL.parse(part.includes("://") ? part : scheme + part));
  return urls.every((url) => url !== null) ? urls : undefined;
}

function fits(urls: readonly URL[]): boolean {
  const [{ protocol } = { protocol: "" }] = urls;
  const alike = urls.every((url) => url.protocol === protocol && url.hostname !== "" && isDecodable(url));
  if (protocol === "tcp:") return alike && urls.every((url) => url.port !== "" && url.username === "");
  return alike && known.includes(protocol) && (urls.length === 1 || !protocol.startsWith("redis"));
}

function isDecodable({ username, password }: URL): boolean {
  try {
    return decodeURIComponent(username + password) !== "\0";
  } catch {
    return false;
  }
}
