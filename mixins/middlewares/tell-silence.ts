import { Errors, type ActionHandler, type ActionSchema, type Context, type Middleware } from "moleculer";

/**
 * Gives up on a node that does not answer where the circuit breaker sees it: Moleculer's own middleware for timeouts is
 * around the breaker, which therefore never learns of silence (moleculer 0.15.2; ours are the innermost).
 */
export const tellSilence: Middleware = {
  name: "TellSilence",
  remoteAction(next: ActionHandler, action: ActionSchema): ActionHandler {
    return async (ctx: Context): Promise<unknown> => {
      const ms = ctx.options.timeout ?? 0;
      if (ms <= 0) return await (next as (ctx: Context) => Promise<unknown>)(ctx);
      const { promise: silence, reject } = Promise.withResolvers<never>();
      const error = { action: String(action.name), nodeID: ctx.nodeID ?? "" };
      const timer = setTimeout(() => reject(new Errors.RequestTimeoutError(error)), ms);
      try {
        return await Promise.race([(next as (ctx: Context) => Promise<unknown>)(ctx), silence]);
      } finally {
        clearTimeout(timer);
      }
    };
  },
};
