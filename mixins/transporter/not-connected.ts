import { Errors } from "moleculer";

/** As the broker itself says it when its transporter has lost the others: "unavailable" at the gateways. */
export const notConnected = (): Error =>
  new Errors.MoleculerRetryableError("no connection to the other node", 502, "BAD_GATEWAY");
