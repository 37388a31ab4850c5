import { ServiceBroker } from "moleculer";

/**
 * Loaded before main.ts (`node --import`): what tells gateways of a revocation is lost, on the node that made it and on all
 * others. The product has no switch for it.
 */
const lost = new Set(["access.changed", "sessions.ended"]);
type Broadcast = (this: ServiceBroker, event: string, ...rest: unknown[]) => Promise<unknown>;
const prototype = ServiceBroker.prototype as unknown as { broadcast: Broadcast };
const { broadcast } = prototype;
prototype.broadcast = function (event, ...rest) {
  return lost.has(event) ? Promise.resolve() : broadcast.call(this, event, ...rest);
};
