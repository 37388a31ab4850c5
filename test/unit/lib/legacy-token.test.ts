import { describe, expect, test } from "@jest/globals";
import { createHmac, createSecretKey, generateKeyPairSync } from "node:crypto";
import jwt, { type Algorithm } from "jsonwebtoken";
import { signAccessToken } from "../../../lib/access-token.ts";
import { keyRing } from "../../../lib/keys.ts";
import { verifyLegacyRefreshToken } from "../../../lib/legacy-token.ts";
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

const claims = { token_type: "refresh", exp: nowSeconds + 3600, iat: nowSeconds, jti: "1", user_id: 42 };
const sign = (changes: object = {}, key = secret, algorithm: Algorithm = "HS256"): string =>
  jwt.sign({ ...claims, ...changes }, createSecretKey(Buffer.from(key)), { algorithm });
/** Signed as it stands, whatever it is. */
function signText(payload: string, header: object = { alg: "HS256", typ: "JWT" }): string {
  const head = Buffer.from(JSON.stringify(header)).toString("base64url");
  const signed = `${head}.${Buffer.from(payload).toString("base64url")}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
const without = (name: string): string =>
  JSON.stringify(Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name)));
const verify = (token: string, clock = frozenClock) => verifyLegacyRefreshToken(secrets, clock, token);

describe("verifyLegacyRefreshToken: whose it is", () => {
  test("the account's id, as a number and as a string", () => {
    expect([verify(sign()), verify(sign({ user_id: "42" }))]).toEqual([42, 42]);
  });

  test("the form in which the tests below write it is one that counts", () => {
    expect(verify(signText(JSON.stringify(claims)))).toBe(42);
  });

  test("signed with the previous secret: the same, and without that one not", () => {
    expect(verifyLegacyRefreshToken(rotatedSecrets, frozenClock, sign())).toBe(42);
    expect(
      verifyLegacyRefreshToken({ current: otherSecret, previous: undefined }, frozenClock, sign()),
    ).toBeUndefined();
  });

  test("up to the second in which it expires", () => {
    expect(verify(sign(), laterBy(3599))).toBe(42);
    expect(verify(sign(), laterBy(3600))).toBeUndefined();
  });
});

describe("verifyLegacyRefreshToken: what is none", () => {
  test.each([
    ["an access token", sign({ token_type: "access" })],
    ["no type", signText(without("token_type"))],
    ["a list with the type", sign({ token_type: ["refresh"] })],
    ["without exp", signText(without("exp"))],
    ["exp as a string", signText(JSON.stringify({ ...claims, exp: String(claims.exp) }))],
    ["exp beyond all integers", signText(JSON.stringify({ ...claims, exp: 1e300 }))],
    ["a fraction of a second", signText(JSON.stringify({ ...claims, exp: claims.exp + 0.5 }))],
    ["not valid yet", sign({ nbf: nowSeconds + 10 })],
    ["no account", signText(without("user_id"))],
    ["account 0", sign({ user_id: 0 })],
    ["a negative account", sign({ user_id: -42 })],
    ["a fraction", sign({ user_id: 42.5 })],
    ["a number with zeros before it", sign({ user_id: "042" })],
    ["spaces", sign({ user_id: " 42" })],
    ["a line break", sign({ user_id: "42\n" })],
    ["hexadecimal", sign({ user_id: "0x2a" })],
    ["an exponent", sign({ user_id: "4e1" })],
    ["an id beyond all integers", sign({ user_id: "9007199254740993" })],
    ["an object", sign({ user_id: { id: 42 } })],
    ["a UUID", sign({ user_id: sessionId })],
    ["HS384", sign({}, secret, "HS384")],
    ["HS512", sign({}, secret, "HS512")],
    ["alg none", signText(JSON.stringify(claims), { alg: "none" }).replace(/[^.]+$/, "")],
    ["alg none, with a signature", signText(JSON.stringify(claims), { alg: "none" })],
    ["RS256", jwt.sign(claims, generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey, { algorithm: "RS256" })],
    ["another secret", sign({}, otherSecret)],
    ["a sentence", signText('"refresh"')],
    ["null", signText("null")],
    ["a list", signText(`[${JSON.stringify(claims)}]`)],
    ["no JSON", signText("{")],
    ["nothing", ""],
    ["a word", "token"],
    ["5 parts", `${sign()}.a.b`],
    ["padding", `${sign()}=`],
    ["a line break behind it", `${sign()}\n`],
    [
      "one of our access tokens",
      signAccessToken(keyRing(secrets, "access-token"), frozenClock, 3600, { userId: 42, sessionId, epoch: 0 }),
    ],
  ])("%s", (_, token) => {
    expect(verify(token)).toBeUndefined();
  });

  test("any one character changed", () => {
    const token = sign();
    const accepted = Array.from(token, (character, at) => {
      const other = character === "A" ? "B" : "A";
      return verify(token.slice(0, at) + other + token.slice(at + 1));
    }).filter((userId) => userId !== undefined);
    expect(accepted).toEqual([]);
  });

  test("more than 2,048 characters; 5 MB are refused at once", () => {
    const long = sign({ padding: "x".repeat(1300) });
    expect([long.length < 2048, verify(long)]).toEqual([true, 42]);
    expect(verify(sign({ padding: "x".repeat(1500) }))).toBeUndefined();
    const flood = sign({ padding: "x".repeat(5_000_000) });
    expect(bestTime(() => verify(flood))).toBeLessThan(5);
  });
});
