/** On every answer, errors included. Answers are JSON for one person: nothing may frame, sniff, run or keep them. */
export function securityHeaders(overTls: boolean): Readonly<Record<string, string>> {
  return {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    vary: "Origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    ...(overTls && { "strict-transport-security": "max-age=31536000; includeSubDomains" }),
  };
}

/** For the few pages that we show: their own styles and forms, still no scripts and nothing from elsewhere. */
export const pagePolicy =
  "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
