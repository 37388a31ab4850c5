import type { Child } from "./child.ts";
import type { Contestant, Turn } from "./contest.ts";
import { HttpConnection } from "./http-connection.ts";

const connections = 32;

/** One GET again and again on connections that stay, for one signed-in person after the other. */
export class AskedServer implements Contestant {
  readonly #server: Pick<Child, "usage">;
  readonly #requests: readonly Buffer[];
  readonly #connections: readonly HttpConnection[];
  #next = 0;
  #times: number[] = [];
  #wrong = 0;
  #running = false;

  /** @param cookies a `Cookie` header for each person; empty for none */
  constructor(server: Pick<Child, "usage">, address: string, cookies: readonly string[]) {
    const url = new URL(address);
    this.#server = server;
    this.#requests = cookies.map((cookie) => {
      const lines = [`GET ${url.pathname} HTTP/1.1`, `Host: ${url.host}`, "User-Agent: identity-bench/1"];
      if (cookie !== "") lines.push(`Cookie: ${cookie}`);
      return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
    });
    this.#connections = Array.from({ length: connections }, () => {
      const connection: HttpConnection = new HttpConnection(url, (milliseconds, isRight) => {
        if (isRight) this.#times.push(milliseconds);
        else this.#wrong++;
        if (this.#running && this.#wrong < 100) this.#send(connection);
      });
      return connection;
    });
  }

  async turn(seconds: number): Promise<Turn> {
    const before = await this.#server.usage();
    const began = performance.now();
    this.#times = [];
    this.#wrong = 0;
    this.#running = true;
    for (const connection of this.#connections) this.#send(connection);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    this.#running = false;
    const limit = performance.now() + 5000;
    while (this.#connections.some(({ isBusy }) => isBusy) && performance.now() < limit) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const took = (performance.now() - began) / 1000;
    const after = await this.#server.usage();
    const unanswered = this.#connections.filter(({ isBusy }) => isBusy).length;
    if (this.#wrong + unanswered > 0) throw new Error(`${this.#wrong} answers were wrong, ${unanswered} did not come`);
    return { cpu: after.cpu - before.cpu, seconds: took, times: this.#times };
  }

  hangUp(): void {
    for (const connection of this.#connections) connection.close();
  }

  #send(connection: HttpConnection): void {
    const request = this.#requests[this.#next++ % this.#requests.length];
    if (request) connection.send(request);
  }
}
