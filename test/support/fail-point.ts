import pg from "pg";

/**
 * Loaded before main.ts (`node --import`): the process kills itself at a statement of its own, as a power cut would, and
 * the product has no hook for it.
 */
export interface FailPoint {
  /** Before the statement is sent, or when its result has arrived. */
  readonly when: "before" | "after";
  /** Regular expression over the statement's text. */
  readonly statement: string;
  /** The service on whose connections statements count: each has an `application_name` of its own. */
  readonly service: string;
  /** Which of the statements that match; the first when left out. */
  readonly nth?: number;
}

/** For the environment of the process. */
export const failPointEnv = (point: FailPoint): { FAIL_POINT: string } => ({ FAIL_POINT: JSON.stringify(point) });

type Query = (this: pg.Client, ...args: unknown[]) => unknown;

function arm({ when, statement, service, nth = 1 }: FailPoint): void {
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

function die(): never {
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: nothing more may happen.
  for (;;);
}

const point = process.env["FAIL_POINT"];
if (point !== undefined) arm(JSON.parse(point) as FailPoint);
