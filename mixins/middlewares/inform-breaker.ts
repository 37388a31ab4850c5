import { Errors, type ActionHandler, type ActionSchema, type Context, type Middleware } from "moleculer";

/** A node that said no, in whatever words, as the breaker sees it: an answer. */
class Refusal {
  readonly error: unknown;
  constructor(error: unknown) {
    this.error = error;
  }
}

type CallHook = NonNullable<Middleware["call"]>;
type Call = NonNullable<Parameters<CallHook>[0]>;
/** Moleculer takes what the callee added to `meta` from here. */
type Called = Promise<unknown> & { ctx?: Context };

/**
 * Moleculer (0.15.2) writes the node on each error that came over the wire, and on none that it makes here, when nothing
 * was sent or nobody answered.
 */
const cameBack = (error: unknown): boolean =>
  error instanceof Error && "nodeID" in error && typeof error.nodeID === "string";

/**
 * Shows the circuit breaker what a node does. By itself it never learns of silence, since Moleculer's middleware for
 * timeouts is around it; and it counts no refusal, so that a node that opened it once and then only refuses (wrong
 * passwords) would stay shut out. Every refusal has to count: it lets one call in two seconds through, and whoever sends
 * nonsense fast enough takes each of them. Ours are the innermost (moleculer 0.15.2): refusals pass it as answers, and
 * become errors again for the caller.
 */
export const informBreaker: Middleware = {
  name: "InformBreaker",
  remoteAction(next: ActionHandler, action: ActionSchema): ActionHandler {
    return async (ctx: Context): Promise<unknown> => {
      const answer = (next as (ctx: Context) => Promise<unknown>)(ctx).catch((error: unknown) => {
        if (cameBack(error)) return new Refusal(error);
        throw error;
      });
      const ms = ctx.options.timeout ?? 0;
      if (ms <= 0) return await answer;
      const { promise: silence, reject } = Promise.withResolvers<never>();
      const error = { action: String(action.name), nodeID: ctx.nodeID ?? "" };
      const timer = setTimeout(() => reject(new Errors.RequestTimeoutError(error)), ms);
      try {
        return await Promise.race([answer, silence]);
      } finally {
        clearTimeout(timer);
      }
    };
  },
  call(next: Call) {
    const call = (...args: Parameters<Call>): Called => {
      const called: Called = next(...args);
      const answered = called.then((answer) => {
        if (answer instanceof Refusal) throw answer.error;
        return answer;
      });
      return called.ctx ? Object.assign(answered, { ctx: called.ctx }) : answered;
    };
    // Moleculer's type gives the hook's result for that of the call it wraps.
    return call as unknown as ReturnType<CallHook>;
  },
};
