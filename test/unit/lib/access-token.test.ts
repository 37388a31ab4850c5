import { createHmac, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { signAccessToken, verifyAccessToken } from "../../../lib/access-token.ts";
import { keyRing } from "../../../lib/keys.ts";
import {
  bestTime,
  frozenClock,
  laterBy,
  nowSeconds,
  otherSecret,
  rotatedSecrets,
  secret,
  secrets,
  sessionId,
} from "../helpers.ts";

const keys = keyRing(secrets, "access-token");
const owner = { userId: 42, sessionId, epoch: 3 };
const ttl = 3600;
const issued = signAccessToken(keys, frozenClock, ttl, owner);
const encode = (part: unknown): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
const decode = (token: string, part: 0 | 1): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split(".")[part] ?? "", "base64url").toString()) as Record<string, unknown>;

/** Claims that are accepted when we have signed them. */
const goodClaims = {
  token_type: "access",
  user_id: 42,
  sid: sessionId,
  epoch: 3,
  jti: "0b8f2f6e-3c1d-4f5a-9b7c-000000000000",
  iat: nowSeconds,
  exp: nowSeconds + ttl,
  iss: "user-management",
  aud: "food-delivery",
};
interface Forgery {
  header?: unknown;
  hash?: string;
  key?: KeyObject | string;
}
/** A token with a signature that fits, whatever it says: what somebody could make who can make us sign. */
function signed(
  claims: unknown,
  { header = { alg: "HS256", typ: "JWT" }, hash = "sha256", key }: Forgery = {},
): string {
  const text = `${encode(header)}.${encode(claims)}`;
  return `${text}.${createHmac(hash, key ?? keys.current.object)
    .update(text)
    .digest("base64url")}`;
}
const without = (claim: keyof typeof goodClaims) =>
  Object.fromEntries(Object.entries(goodClaims).filter(([name]) => name !== claim));
const verify = (token: string, clock = frozenClock) => verifyAccessToken(keys, clock, token);

describe("signAccessToken", () => {
  test("says whose token it is and which session's, and nothing about role or state", () => {
    const { jti, ...claims } = decode(issued, 1);
    expect(jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(claims).toEqual({
      token_type: "access",
      user_id: 42,
      sid: sessionId,
      epoch: 3,
      iat: nowSeconds,
      exp: nowSeconds + ttl,
      iss: "user-management",
      aud: "food-delivery",
    });
  });

  test("names algorithm and key, and the key's name is not the key", () => {
    expect(decode(issued, 0)).toEqual({ alg: "HS256", typ: "JWT", kid: keys.current.id });
  });

  test("two tokens of one moment differ", () => {
    expect(signAccessToken(keys, frozenClock, ttl, owner)).not.toBe(issued);
  });

  test("fits into a cookie: name and value within 4,096 bytes (ASVS 3.3.5)", () => {
    const largest = { userId: Number.MAX_SAFE_INTEGER, sessionId, epoch: Number.MAX_SAFE_INTEGER };
    expect(signAccessToken(keys, frozenClock, ttl, largest).length).toBeLessThan(1000);
  });
});

describe("verifyAccessToken: what is accepted", () => {
  test("a token that we issued", () => {
    expect(verify(issued)).toEqual({ ...owner, expiresAt: nowSeconds + ttl });
  });

  test("the forgeries below are refused for their one difference: without it they are accepted", () => {
    expect(verify(signed(goodClaims))).toEqual({ ...owner, expiresAt: nowSeconds + ttl });
  });

  test("up to its last second, and not in the second of its expiry", () => {
    expect(verify(issued, laterBy(ttl - 1))).toBeDefined();
    expect(verify(issued, laterBy(ttl))).toBeUndefined();
  });

  test("one that a node issued whose clock is a minute ahead", () => {
    expect(verify(signed({ ...goodClaims, iat: nowSeconds + 60 }))).toBeDefined();
    expect(verify(signed({ ...goodClaims, iat: nowSeconds + 61 }))).toBeUndefined();
  });

  test("one signed with the previous secret, until that one is taken away", () => {
    expect(verifyAccessToken(keyRing(rotatedSecrets, "access-token"), frozenClock, issued)).toBeDefined();
    const after = keyRing({ current: otherSecret, previous: undefined }, "access-token");
    expect(verifyAccessToken(after, frozenClock, issued)).toBeUndefined();
  });

  test("one whose header points elsewhere for keys is verified with ours alone", () => {
    const header = { alg: "HS256", typ: "JWT", kid: "../../../dev/null", jku: "https://evil.example/jwks.json" };
    expect(verify(signed(goodClaims, { header }))).toBeDefined();
    expect(verify(signed(goodClaims, { header, key: "" }))).toBeUndefined();
    const jwk = { alg: "HS256", jwk: { kty: "oct", k: encode("a key of mine") } };
    expect(verify(signed(goodClaims, { header: jwk, key: "a key of mine" }))).toBeUndefined();
  });
});

describe("verifyAccessToken: algorithms that are refused", () => {
  test.each(["none", "None", "nOnE", "NONE", "", "hs256", "HS256 ", null, 1, ["HS256"]])("alg %j", (alg) => {
    const header = { alg, typ: "JWT" };
    const [head, payload] = [encode(header), encode(goodClaims)];
    expect(verify(signed(goodClaims, { header }))).toBeUndefined();
    expect(verify(`${head}.${payload}.`)).toBeUndefined();
    expect(verify(`${head}.${payload}`)).toBeUndefined();
  });

  test("no alg at all", () => {
    expect(verify(signed(goodClaims, { header: { typ: "JWT" } }))).toBeUndefined();
  });

  test.each([
    ["HS384", "sha384"],
    ["HS512", "sha512"],
  ])("%s with our own key", (alg, hash) => {
    expect(verify(signed(goodClaims, { header: { alg, typ: "JWT" }, hash }))).toBeUndefined();
  });

  test.each(["RS256", "PS256", "ES256", "EdDSA"])("%s in the header over our own HMAC", (alg) => {
    expect(verify(signed(goodClaims, { header: { alg, typ: "JWT" } }))).toBeUndefined();
  });

  test("RS256 that somebody else really signed", () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const text = `${encode({ alg: "RS256", typ: "JWT" })}.${encode(goodClaims)}`;
    const signature = createSign("sha256").update(text).sign(privateKey).toString("base64url");
    expect(verify(`${text}.${signature}`)).toBeUndefined();
  });

  test.each([
    ["the bare secret, not the key made from it", secret],
    ["another secret", otherSecret],
    ["nothing", ""],
  ])("HS256 with %s as the key", (_, key) => {
    expect(verify(signed(goodClaims, { key }))).toBeUndefined();
  });

  test.each(["refresh-token", "one-time-token", "cursor"] as const)("HS256 with our key for %s", (purpose) => {
    expect(verify(signed(goodClaims, { key: keyRing(secrets, purpose).current.object }))).toBeUndefined();
  });
});

describe("verifyAccessToken: claims that are refused", () => {
  test.each(Object.keys(goodClaims) as (keyof typeof goodClaims)[])("without %s", (claim) => {
    expect(verify(signed(without(claim)))).toBeUndefined();
  });

  test.each([
    ["exp: past", { exp: nowSeconds - 1 }],
    ["exp: a string", { exp: String(nowSeconds + ttl) }],
    ["exp: a fraction", { exp: nowSeconds + ttl + 0.5 }],
    ["exp: 1e300", { exp: 1e300 }],
    ["exp: 2^53", { exp: 2 ** 53 }],
    ["exp: null", { exp: null }],
    ["exp: an array", { exp: [nowSeconds + ttl] }],
    ["exp: zero", { exp: 0 }],
    ["exp: negative", { exp: -1 }],
    ["exp: true", { exp: true }],
    ["nbf: in the future", { nbf: nowSeconds + 120 }],
    ["nbf: a string", { nbf: "0" }],
    ["iat: in the future", { iat: nowSeconds + 120 }],
    ["iat: a string", { iat: String(nowSeconds) }],
    ["iat: a fraction", { iat: nowSeconds - 0.5 }],
    ["iat: 1e300", { iat: 1e300 }],
    ["iat: negative", { iat: -1 }],
    ["iss: another", { iss: "evil" }],
    ["iss: another case", { iss: "User-Management" }],
    ["iss: an object", { iss: {} }],
    ["aud: another", { aud: "another-platform" }],
    ["aud: a list without ours", { aud: ["a", "b"] }],
    ["aud: empty", { aud: [] }],
    ["token_type: refresh", { token_type: "refresh" }],
    ["token_type: another case", { token_type: "Access" }],
    ["token_type: a list", { token_type: ["access"] }],
    ["user_id: a string", { user_id: "42" }],
    ["user_id: a fraction", { user_id: 42.5 }],
    ["user_id: negative", { user_id: -1 }],
    ["user_id: 1e300", { user_id: 1e300 }],
    ["user_id: a list", { user_id: [42] }],
    ["user_id: an object", { user_id: { $ne: 0 } }],
    ["sid: a number", { sid: 1 }],
    ["sid: null", { sid: null }],
    ["sid: no UUID", { sid: "' or 1=1 --" }],
    ["sid: 36 characters that are no UUID", { sid: "x".repeat(36) }],
    ["epoch: a string", { epoch: "3" }],
    ["epoch: negative", { epoch: -1 }],
    ["jti: a number", { jti: 1 }],
  ])("%s", (_, change) => {
    expect(verify(signed({ ...goodClaims, ...change }))).toBeUndefined();
  });

  test("claims that only a prototype has do not count", () => {
    const json = JSON.stringify(without("token_type")).replace("{", '{"__proto__":{"token_type":"access"},');
    expect(verify(signed(json))).toBeUndefined();
  });

  test.each([
    ["a string", "just text"],
    ["null", "null"],
    ["a number", "42"],
    ["an array", [goodClaims]],
    ["nothing", ""],
    ["broken JSON", '{"token_type":"access"'],
  ])("a payload that is %s", (_, payload) => {
    expect(verify(signed(payload))).toBeUndefined();
    expect(verify(signed(payload, { header: { alg: "HS256" } }))).toBeUndefined();
  });
});

describe("verifyAccessToken: texts that are refused", () => {
  const [head = "", payload = "", signature = ""] = issued.split(".");

  test.each([
    ["nothing", ""],
    ["a word", "token"],
    ["dots alone", ".."],
    ["five dots", "....."],
    ["a fourth part", `${issued}.${signature}`],
    ["five parts, as in an encrypted token", `${head}.${payload}.${signature}.a.b`],
    ["no signature", `${head}.${payload}.`],
    ["padding behind the signature", `${issued}=`],
    ["padding behind the payload", `${head}.${payload}=.${signature}`],
    ["a line break behind it", `${issued}\n`],
    ["a line break before it", `\n${issued}`],
    ["a space behind it", `${issued} `],
    ["NUL behind it", `${issued}\u0000`],
    ["a line break inside", `${head}.\n${payload}.${signature}`],
    ["the word Bearer before it", `Bearer ${issued}`],
    ["quotes around it", `"${issued}"`],
    ["a header that is no JSON", `${encode("{")}.${payload}.${signature}`],
    ["a header that is null", `${encode("null")}.${payload}.${signature}`],
    ["the signature of another token", `${head}.${encode({ ...goodClaims, user_id: 1 })}.${signature}`],
    ["__proto__ as a header", `${encode('{"__proto__":{"alg":"none"}}')}.${payload}.`],
    ["letters outside ASCII", issued.replace("e", "е")],
  ])("%s", (_, token) => {
    expect(verify(token)).toBeUndefined();
  });

  test("any one bit of any character changed, the spare bits of the last one included", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (let at = 0; at < issued.length; at++) {
      const place = alphabet.indexOf(issued[at]!);
      if (place < 0) continue;
      for (const bit of [1, 2, 4, 8, 16, 32]) {
        expect(verify(issued.slice(0, at) + alphabet[place ^ bit]! + issued.slice(at + 1))).toBeUndefined();
      }
    }
  });

  test("4,096 characters are read, one more is not", () => {
    const padded = (length: number): string => signed({ ...goodClaims, pad: "x".repeat(length) });
    const room = Math.floor(((4096 - padded(0).length) * 3) / 4);
    const [fits, tooLong] = [padded(room - 3), padded(room + 3)];
    expect(fits.length).toBeLessThanOrEqual(4096);
    expect(tooLong.length).toBeGreaterThan(4096);
    expect(verify(fits)).toBeDefined();
    expect(verify(tooLong)).toBeUndefined();
  });

  test("1 MB is refused unread, in less than a millisecond", () => {
    const flood = signed({ ...goodClaims, pad: "x".repeat(1_000_000) });
    expect(bestTime(() => expect(verify(flood)).toBeUndefined())).toBeLessThan(1);
  });
});
