import type { IncomingMessage } from "node:http";
import type { ErrorCode } from "../../lib/errors.ts";
import { maxUploadBytes } from "./uploads.ts";

/**
 * What is wrong with how a request goes over the wire, where Node's parser is more lenient than a proxy in front may be:
 * wherever two readers of one connection disagree, one can be told what the other does not see (RFC 9112, section 11.2).
 */
export function framingProblem({ headers, httpVersion, rawHeaders }: IncomingMessage): ErrorCode | undefined {
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return "malformed_request";
  const hosts = hostsIn(rawHeaders);
  if (hosts > 1 || (hosts === 0 && httpVersion === "1.1")) return "malformed_request";
  // "gzip, chunked" would be taken for plain chunks.
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") return "malformed_request";
  // Known without reading any of it; whatever else the answer were, Node would read the rest to throw it away.
  return Number(headers["content-length"] ?? 0) > maxUploadBytes ? "body_too_large" : undefined;
}

/** Of several equal headers Node tells only the first. */
function hostsIn(rawHeaders: readonly string[]): number {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  return hosts;
}
