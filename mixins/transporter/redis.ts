import { Transporters } from "moleculer";
import type { Log } from "../../lib/log.ts";
import type { RedisTransporterConfig } from "../../lib/transporter-config.ts";
import { notConnected } from "./not-connected.ts";
import { openRedis, replaceConnection, type Redis } from "../redis/redis.ts";

/**
 * Moleculer's own ends the process when a message cannot be sent (a rejection that nobody handles), and opens one more
 * connection each time that Redis comes back.
 */
export class RedisTransporter extends Transporters.Base {
  readonly #config: RedisTransporterConfig;
  readonly #log: Log;
  #publisher: Redis | undefined;
  #subscriber: Redis | undefined;
  #wasConnected = false;

  constructor(config: RedisTransporterConfig, log: Log) {
    super({});
    this.#config = config;
    this.#log = log;
  }

  /** Resolves when it is connected for the first time; ioredis goes on trying. */
  override connect(): Promise<void> {
    // Of an attempt before this one.
    void this.disconnect();
    const open = () => openRedis(this.#config.url, this.#log, this.#config.tls);
    const [publisher, subscriber] = [open(), open()];
    [this.#publisher, this.#subscriber] = [publisher, subscriber];
    subscriber.on("messageBuffer", (topic: Buffer, data: Buffer) => {
      const [type = ""] = topic
        .toString()
        .slice(this.prefix.length + 1)
        .split(".");
      void this.receive(type, data);
    });
    return new Promise((resolve, reject) => {
      const ready = () => {
        if (this.connected || publisher.status !== "ready" || subscriber.status !== "ready") return;
        if (this.#wasConnected) this.#log.info({}, "the transporter's Redis is back");
        this.onConnected(this.#wasConnected).then(() => {
          this.#wasConnected = true;
          resolve();
        }, reject);
      };
      for (const redis of [publisher, subscriber]) redis.on("ready", ready).on("close", () => this.#lost());
    });
  }

  #lost(): void {
    if (this.connected)
      this.#log.warn({}, "the transporter's Redis is away: calls to other nodes fail until it is back");
    this.connected = false;
  }

  override disconnect(): Promise<void> {
    this.connected = false;
    for (const redis of [this.#publisher, this.#subscriber]) redis?.disconnect();
    return Promise.resolve();
  }

  override async subscribe(type: string, nodeId?: string): Promise<void> {
    await this.#subscriber?.subscribe(this.getTopicName(type, nodeId));
  }

  override async send(topic: string, data: Buffer): Promise<void> {
    try {
      await this.#publisher?.publish(topic, data);
    } catch {
      this.#lost();
      for (const redis of [this.#publisher, this.#subscriber]) if (redis) replaceConnection(redis);
      throw notConnected();
    }
  }

  /** Whom a call goes to is the broker's own choice. */
  override async subscribeBalancedRequest(): Promise<void> {}
  override async subscribeBalancedEvent(): Promise<void> {}
}
