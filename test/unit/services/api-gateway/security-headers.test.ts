import { describe, expect, test } from "@jest/globals";
import { pagePolicy, securityHeaders } from "../../../../services/api-gateway/security-headers.ts";

describe("securityHeaders", () => {
  test("nothing may frame, sniff, run or keep an answer (ASVS 3.4)", () => {
    expect(securityHeaders(false)).toEqual({
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cross-origin-resource-policy": "same-origin",
      "referrer-policy": "no-referrer",
      vary: "Origin",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    });
  });

  test("over TLS browsers are told to stay there for at least a year, subdomains included", () => {
    const [, seconds] =
      /^max-age=(\d+); includeSubDomains$/.exec(securityHeaders(true)["strict-transport-security"] ?? "") ?? [];
    expect(Number(seconds)).toBeGreaterThanOrEqual(31_536_000);
  });
});

describe("pagePolicy", () => {
  test("pages run no script, load nothing from elsewhere, post home and cannot be framed", () => {
    for (const rule of ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]) {
      expect(pagePolicy.split("; ")).toContain(rule);
    }
    expect(pagePolicy).not.toMatch(/script-src|\*|https?:/);
  });
});
