import { isTraceparent } from "./trace.ts";
import { roles, type Role } from "./roles.ts";

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
  /** Names this request and no other, unlike `requestId`, which a client may choose. */
  readonly call: string;
  readonly requestId: string;
  /** W3C Trace Context; ends up in the headers of what Kafka hears. */
  readonly traceparent: string | undefined;
  readonly ip: string;
  readonly userAgent: string;
  /** The cookie of a device that signed in before, as it was sent: whether we made it is for the reader to see. */
  readonly device: string | undefined;
}

/** The service itself: timers, the command line, calls between services. */
export const system: Actor = Object.freeze({
  principal: undefined,
  call: "",
  requestId: "",
  traceparent: undefined,
  ip: "",
  userAgent: "",
  device: undefined,
});

/** An actor as it came over the transporter: whatever has not exactly the shape of a principal is none. */
export function readActor(sent: unknown): Actor {
  const of = own(sent);
  const [principal, call, requestId] = [of("principal"), of("call"), of("requestId")];
  const [traceparent, ip, userAgent, device] = [of("traceparent"), of("ip"), of("userAgent"), of("device")];
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  return Object.freeze({
    principal: readPrincipal(principal),
    call: text(call),
    requestId: text(requestId),
    traceparent: isTraceparent(traceparent) ? traceparent : undefined,
    ip: text(ip),
    userAgent: text(userAgent),
    device: typeof device === "string" ? device : undefined,
  });
}

function readPrincipal(sent: unknown): Principal | undefined {
  const of = own(sent);
  const [userId, sessionId, claimed, verified] = [of("userId"), of("sessionId"), of("role"), of("verified")];
  const role = roles.find((known) => known === claimed);
  const isUser = typeof userId === "number" && Number.isSafeInteger(userId) && userId > 0;
  if (!isUser || typeof sessionId !== "string" || !role || typeof verified !== "boolean") return undefined;
  return Object.freeze({ userId, sessionId, role, verified });
}

/** A value's own properties, of which nothing is known yet; what it inherits does not count. */
const own = (sent: unknown) => {
  const value = Object(sent) as Readonly<Record<string, unknown>>;
  return (name: string): unknown => (Object.hasOwn(value, name) ? value[name] : undefined);
};
