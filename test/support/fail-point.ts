import { Kafka, type Producer } from "kafkajs";
import pg from "pg";

/**
 * Loaded before main.ts (`node --import`): the process kills itself at a statement or a Kafka call of its own, as a power
 * cut would, and the product has no hook for it.
 */
export type FailPoint = StatementPoint | KafkaPoint;

interface Point {
  /** Before it is sent, or when its result has arrived. */
  readonly when: "before" | "after";
  /** Which of those that match; the first when left out. */
  readonly nth?: number;
}

export interface StatementPoint extends Point {
  /** Regular expression over the statement's text. */
  readonly statement: string;
  /** The service on whose connections statements count: each has an `application_name` of its own. */
  readonly service: string;
}

export interface KafkaPoint extends Point {
  /** What the producer is asked for. */
  readonly kafka: "connect" | "sendBatch";
}

/** For the environment of the process. */
export const failPointEnv = (point: FailPoint): { FAIL_POINT: string } => ({ FAIL_POINT: JSON.stringify(point) });

type Query = (this: pg.Client, ...args: unknown[]) => unknown;

function armStatement({ when, statement, service, nth = 1 }: StatementPoint): void {
  const pattern = new RegExp(statement, "i");
  const prototype = pg.Client.prototype as unknown as { query: Query };
  const query = prototype.query;
  let seen = 0;
  prototype.query = function (this: pg.Client, ...args) {
    const { connectionParameters } = this as unknown as { connectionParameters: { application_name?: string } };
    const text = typeof args[0] === "string" ? args[0] : ((args[0] as { text?: string } | undefined)?.text ?? "");
    const counts = connectionParameters.application_name === `identity-${service}` && pattern.test(text);
    if (!counts || ++seen !== nth) return query.apply(this, args);
    if (when === "before") die();
    // pg.Pool's own queries come with a callback.
    const callback = args.at(-1);
    if (typeof callback === "function") return query.apply(this, [...args.slice(0, -1), die]);
    return (query.apply(this, args) as Promise<unknown>).then(die);
  };
}

function armKafka({ when, kafka, nth = 1 }: KafkaPoint): void {
  // A method is taken off its prototype on purpose: it is called with its object below.
  const makeProducer = Reflect.get(Kafka.prototype, "producer") as (this: Kafka, ...args: unknown[]) => Producer;
  let seen = 0;
  Reflect.set(Kafka.prototype, "producer", function (this: Kafka, ...args: unknown[]) {
    const producer = makeProducer.apply(this, args);
    const call = Reflect.get(producer, kafka) as (...rest: unknown[]) => Promise<unknown>;
    Reflect.set(producer, kafka, async (...rest: unknown[]) => {
      const isDue = ++seen === nth;
      if (isDue && when === "before") die();
      const result = await call(...rest);
      return isDue ? die() : result;
    });
    return producer;
  });
}

function die(): never {
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: nothing more may happen.
  for (;;);
}

const text = process.env["FAIL_POINT"];
if (text !== undefined) {
  const point = JSON.parse(text) as FailPoint;
  if ("kafka" in point) armKafka(point);
  else armStatement(point);
}
