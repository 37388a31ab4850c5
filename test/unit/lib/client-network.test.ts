import { describe, expect, test } from "@jest/globals";
import { clientNetwork } from "../../../lib/client-network.ts";

describe("clientNetwork: one client, one network", () => {
  test.each([
    ["IPv4", "192.0.2.1", "192.0.2.1"],
    ["IPv4 with a port, as some proxies write it", "192.0.2.1:50123", "192.0.2.1"],
    ["IPv4 mapped into IPv6", "::ffff:192.0.2.1", "192.0.2.1"],
    ["the same in hexadecimal", "::FFFF:c000:0201", "192.0.2.1"],
    ["the same in full", "0:0:0:0:0:ffff:c000:201", "192.0.2.1"],
    ["IPv6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["another address of its /64", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"],
    ["shortened", "2001:db8:1:2::1", "2001:db8:1:2::/64"],
    ["shortened within the network's part", "2001:db8::1", "2001:db8:0:0::/64"],
    ["shortened at its end", "2001:db8:1::", "2001:db8:1:0::/64"],
    ["with zeros and capitals", "2001:0DB8:0001:0002:0000:0000:0000:0001", "2001:db8:1:2::/64"],
    ["with a zone", "fe80::1%eth0", "fe80:0:0:0::/64"],
    ["in brackets, with a port", "[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"],
    ["IPv6's loopback", "::1", "0:0:0:0::/64"],
    ["ending like a mapped one", "2001:db8::ffff:192.0.2.1", "2001:db8:0:0::/64"],
  ])("%s: %s is %s", (_, ip, network) => {
    expect(clientNetwork(ip)).toBe(network);
  });

  test("the next /64 is another one", () => {
    expect(clientNetwork("2001:db8:1:3::1")).not.toBe(clientNetwork("2001:db8:1:2::1"));
  });
});

describe("clientNetwork: what is no address is one network for all", () => {
  test.each([
    "",
    "unknown",
    "_hidden",
    "192.0.2",
    "192.0.2.256",
    "01.2.3.4",
    "2001:db8::g",
    "::1::2",
    "a@b",
    "1]/[::1",
    "[::1",
  ])("%j", (ip) => {
    expect(clientNetwork(ip)).toBe("unknown");
  });
});
