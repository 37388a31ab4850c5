import { isIPv4 } from "node:net";

/**
 * Whom an IP address stands for when requests are counted: one IPv4 address, or the /64 of an IPv6 address, in which a
 * single host has more addresses than could ever be counted. What is no address is one network for all.
 * @param ip as the socket or a trusted proxy says it; some proxies add a port
 */
export function clientNetwork(ip: string): string {
  const [, bracketed] = /^\[([^\]]+)\](?::\d+)?$/.exec(ip) ?? [];
  const [, beforePort] = /^([\d.]+):\d+$/.exec(ip) ?? [];
  const address = bracketed ?? beforePort ?? ip;
  if (isIPv4(address)) return address;
  const groups = groupsOf(address);
  if (!groups) return "unknown";
  // An IPv4 client of a socket that takes both: ::ffff:192.0.2.1.
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped)
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join(".");
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

/** The eight groups of an IPv6 address in whatever spelling, its zone left out. */
function groupsOf(address: string): number[] | undefined {
  // WHATWG URL writes every spelling of an address in the same way (RFC 5952), without an IPv4 part.
  const host = URL.parse(`http://[${address.replace(/%.*$/, "")}]`)?.hostname;
  if (host === undefined) return undefined;
  const [before = [], after] = host
    .slice(1, -1)
    .split("::")
    .map((part) => (part === "" ? [] : part.split(":")));
  const zeros = after ? Array.from({ length: 8 - before.length - after.length }, () => "0") : [];
  return [...before, ...zeros, ...(after ?? [])].map((group) => Number.parseInt(group, 16));
}
