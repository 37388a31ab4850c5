import type { Role } from "./roles.ts";

/** Who a verified access token belongs to, as the account stood when the request came in. */
export interface Principal {
  readonly userId: number;
  readonly sessionId: string;
  readonly role: Role;
  readonly verified: boolean;
}

/** Who does something, and from where. Made once at the edge and handed on as a value. */
export interface Actor {
  readonly principal: Principal | undefined;
  readonly requestId: string;
  readonly ip: string;
  readonly userAgent: string;
}

/** The service itself: timers, the command line, calls between services. */
export const system: Actor = Object.freeze({ principal: undefined, requestId: "", ip: "", userAgent: "" });
