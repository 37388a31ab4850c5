import { createHash } from "node:crypto";
import { clientNetwork } from "../../../lib/client-network.ts";
import type { Actor } from "../../../lib/principal.ts";

/** Whom a budget is counted for: no address that somebody typed lies in a table or in Redis. */
export const ofAddress = (canonicalEmail: string): string => createHash("sha256").update(canonicalEmail).digest("hex");
export const ofNetwork = ({ ip }: Actor): string => clientNetwork(ip);
