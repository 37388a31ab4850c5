import { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { NatsConfig } from "../../lib/transporter-config.ts";

/** What this file needs of a connection; the client is loaded by Moleculer, and only where NATS is used. */
interface Client {
  status(): AsyncIterable<{ readonly type: string }>;
  subscribe(subject: string, options: { callback: (error: Error | null, message: { data: Uint8Array }) => void }): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

const flushMs = 1000;

/**
 * Moleculer's own does not notice that NATS is away: requests would wait in the client and be carried out when it is back,
 * long after whoever made them has given up.
 */
export class NatsTransporter extends Transporters.NATS {
  readonly #log: Log;

  constructor({ servers, user, password, tls }: NatsConfig, log: Log) {
    super({
      servers: [...servers],
      ...(user !== undefined && { user }),
      ...(password !== undefined && { pass: password }),
      ...(tls && { tls }),
      reconnectTimeWait: 500,
      // A connection that takes bytes and gives none is noticed after three of these.
      pingInterval: 2000,
      maxPingOut: 2,
      // Credentials that are refused now may be right again after the server's next reload.
      ignoreAuthErrorAbort: true,
    });
    this.#log = log;
  }

  override onConnected(wasReconnect?: boolean): Promise<unknown> {
    if (wasReconnect !== true) void this.#watch();
    return super.onConnected(wasReconnect);
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#client().status()) {
      if (type === "disconnect" && this.connected) {
        this.connected = false;
        this.#log.warn({}, "NATS is away: calls to other nodes fail until it is back");
      } else if (type === "reconnect" && !this.connected) {
        this.#log.info({}, "NATS is back");
        await this.onConnected(true);
      }
    }
  }

  override subscribe(type: string, nodeId?: string): Promise<void> {
    const subject = this.getTopicName(type, nodeId);
    const callback = (error: Error | null, { data }: { data: Uint8Array }): void => {
      if (error) this.#log.error({ reason: error.message, subject }, "NATS refuses a subscription");
      else void this.receive(type, Buffer.from(data));
    };
    this.#client().subscribe(subject, { callback });
    return Promise.resolve();
  }

  override async disconnect(): Promise<void> {
    const client = this.client === null ? undefined : this.#client();
    this.client = null;
    // Without a connection it would wait for one.
    const flushed = this.connected ? client?.flush().catch(() => undefined) : undefined;
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, flushMs).unref())]);
    this.connected = false;
    await client?.close();
  }

  #client(): Client {
    return this.client as Client;
  }
}
