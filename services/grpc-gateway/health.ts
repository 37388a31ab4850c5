import { service } from "grpc-health-check";

type Status = "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
interface Asked {
  readonly request: { readonly service: string };
}
/** A stream as grpc-js gives it. */
interface Watch extends Asked {
  write(answer: { status: Status }): unknown;
  end(): unknown;
  once(event: "cancelled", listener: () => void): unknown;
}
type Refuse = (refusal: { code: number; details: string }) => void;
type Answer<T> = Refuse & ((refusal: null, answer: T) => void);

const notFound = 5;

/**
 * `grpc.health.v1.Health`: SERVING until `stop`, which tells those who watch and then ends their streams: otherwise each
 * would hold up a drain to its limit. Not the library's own: it keeps every name that was ever watched, and sends an
 * unknown name of 16 KB back as a header of 140 KB.
 */
export class Health {
  static readonly service = service;
  readonly #names: ReadonlySet<string>;
  readonly #watches = new Set<Watch>();
  #status: Status = "SERVING";

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  readonly handlers = {
    Check: ({ request }: Asked, answer: Answer<{ status: Status }>): void => {
      if (this.#names.has(request.service)) answer(null, { status: this.#status });
      else answer({ code: notFound, details: "Unknown service" });
    },
    List: (_: unknown, answer: Answer<{ statuses: Record<string, { status: Status }> }>): void => {
      answer(null, { statuses: Object.fromEntries([...this.#names].map((name) => [name, { status: this.#status }])) });
    },
    Watch: (watch: Watch): void => {
      const isKnown = this.#names.has(watch.request.service);
      watch.write({ status: isKnown ? this.#status : "SERVICE_UNKNOWN" });
      this.#watches.add(watch);
      watch.once("cancelled", () => this.#watches.delete(watch));
    },
  };

  stop(): void {
    this.#status = "NOT_SERVING";
    for (const watch of this.#watches) {
      if (this.#names.has(watch.request.service)) watch.write({ status: this.#status });
      watch.end();
    }
    this.#watches.clear();
  }
}
