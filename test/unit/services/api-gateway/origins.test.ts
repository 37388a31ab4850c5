import { describe, expect, test } from "@jest/globals";
import { isForeignRequest, originRule } from "../../../../services/api-gateway/origins.ts";
import { config, productionEnv } from "../../helpers.ts";
import { loadConfig, type Env } from "../../../../lib/config.ts";

const production = (changes: Env = {}) => originRule(loadConfig({ ...productionEnv, ...changes }));
const app = "https://app.example.com";

describe("originRule: production", () => {
  const mayUse = production({ CORS_ORIGINS: `${app},https://admin.example.com:8443` });

  test.each(["https://id.example.com", app, "https://admin.example.com:8443"])("%s may", (origin) => {
    expect(mayUse(origin)).toBe(true);
  });

  test.each([
    ["a prefix", "https://app.example.co"],
    ["a longer top level", "https://app.example.com.evil"],
    ["a suffix", "https://evilapp.example.com"],
    ["a subdomain", "https://x.app.example.com"],
    ["the parent", "https://example.com"],
    ["http", "http://app.example.com"],
    ["a port", "https://app.example.com:8443"],
    ["the default port, spelled out", "https://app.example.com:443"],
    ["without its port", "https://admin.example.com"],
    ["upper case", "https://APP.example.com"],
    ["a trailing slash", "https://app.example.com/"],
    ["a trailing dot", "https://app.example.com."],
    ["a user", "https://app.example.com@evil.example"],
    ["both in one", `${app},https://admin.example.com:8443`],
    ["null", "null"],
    ["nothing", ""],
    ["a star", "*"],
    ["a file", "file://"],
    ["localhost", "http://localhost:3000"],
    ["loopback", "http://127.0.0.1:3000"],
    ["a word of Object's own", "constructor"],
  ])("%s may not: %s", (_, origin) => {
    expect(mayUse(origin)).toBe(false);
  });

  test("without configured origins only our own may", () => {
    const only = production();
    expect(["https://id.example.com", app, "http://localhost:3000"].map(only)).toEqual([true, false, false]);
  });

  test("our own origin is PUBLIC_URL's, without its path", () => {
    const mayUseAuth = production({ PUBLIC_URL: "https://id.example.com/auth" });
    expect(["https://id.example.com", "https://id.example.com/auth"].map(mayUseAuth)).toEqual([true, false]);
  });
});

describe("originRule: development", () => {
  const mayUse = originRule(config());

  test.each([
    "http://localhost:3000",
    "http://localhost",
    "https://localhost:8443",
    "http://127.0.0.1:5173",
    "http://[::1]:80",
  ])("%s may", (origin) => {
    expect(mayUse(origin)).toBe(true);
  });

  test.each([
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://evil.example/localhost",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.2",
    "http://10.0.0.1",
    "https://app.example.com",
    "localhost",
    "null",
    "",
  ])("%s may not", (origin) => {
    expect(mayUse(origin)).toBe(false);
  });

  test("with configured origins only those may, this machine no more than others", () => {
    const mayUseApp = originRule(config({ CORS_ORIGINS: app }));
    expect([app, "http://localhost:3000"].map(mayUseApp)).toEqual([true, false]);
  });
});

describe("isForeignRequest", () => {
  const mayUse = (origin: string) => origin === app;
  const foreign = (headers: Record<string, string | string[]>) => isForeignRequest(headers, mayUse);

  test.each([
    ["neither header: no browser", {}],
    ["our own page", { "sec-fetch-site": "same-origin", origin: "https://id.example.com" }],
    ["our own page without an origin", { "sec-fetch-site": "same-origin" }],
    ["the person himself", { "sec-fetch-site": "none" }],
    ["a page that may, of this site", { "sec-fetch-site": "same-site", origin: app }],
    ["a page that may, of another site", { "sec-fetch-site": "cross-site", origin: app }],
    ["a page that may, in an older browser", { origin: app }],
  ])("not foreign: %s", (_, headers) => {
    expect(foreign(headers)).toBe(false);
  });

  test.each([
    ["another site", { "sec-fetch-site": "cross-site", origin: "https://evil.example" }],
    ["another site that hides its origin", { "sec-fetch-site": "cross-site", origin: "null" }],
    ["another site without an origin", { "sec-fetch-site": "cross-site" }],
    ["a sibling that may not", { "sec-fetch-site": "same-site", origin: "https://x.example.com" }],
    ["a sibling without an origin", { "sec-fetch-site": "same-site" }],
    ["an older browser", { origin: "https://evil.example" }],
    ["an older browser, sandboxed", { origin: "null" }],
    ["a prefix", { origin: "https://app.example.co" }],
    ["an empty origin", { origin: "" }],
    ["a word that is none", { "sec-fetch-site": "same-origin-ish" }],
    ["another case", { "sec-fetch-site": "Same-Origin" }],
    ["an empty word", { "sec-fetch-site": "" }],
    ["two words", { "sec-fetch-site": ["same-origin", "cross-site"] }],
    ["two words in one", { "sec-fetch-site": "same-origin, cross-site" }],
  ])("foreign: %s", (_, headers) => {
    expect(foreign(headers)).toBe(true);
  });
});
