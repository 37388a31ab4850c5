import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { keyRing } from "../../lib/keys.ts";
import { bearer, mailedLink, said, signUp, tokenOf, type Person } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import type { TestStand } from "../support/service.ts";

/**
 * SECURITY.md, D: tokens that we did not make, or not for this, at both doors of a whole service. Each forgery is signed with
 * the service's own key: it is refused for its one difference. Sessions and their ends are in test/contract and test/faults.
 */
let stand: TestStand;
let roles: RolesClient;
let person: Person;
let claims: Record<string, unknown>;
beforeAll(async () => {
  stand = await startStand();
  roles = rolesClient(stand.grpcAddress);
  person = await signUp(stand, "CU", { verified: true });
  claims = JSON.parse(Buffer.from(person.token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
});
afterAll(async () => {
  roles.close();
  await stand.stop();
});

const current = "/api/v1/users/current/";
const secret = "a-secret-key-for-tests-0123456789-abcdef";
const ring = (purpose: Parameters<typeof keyRing>[1]) => keyRing({ current: secret, previous: undefined }, purpose);
const encode = (part: unknown) =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const hs256 = { alg: "HS256", typ: "JWT" };
function sign(
  payload: unknown,
  header: unknown = hs256,
  hash = "sha256",
  key: Parameters<typeof createHmac>[1] = ring("access-token").current.object,
) {
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${createHmac(hash, key).update(text).digest("base64url")}`;
}
const without = (name: string) => Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));

async function expectRefused(token: string): Promise<void> {
  const asked = [
    await stand.client().get(current, bearer(token)),
    await stand.client().get(current, { headers: { cookie: `access_token=${token}` } }),
  ];
  for (const answer of asked) {
    expect(said(answer)).toEqual([
      401,
      { detail: expect.any(String), code: expect.stringMatching(/^(invalid_token|not_authenticated)$/) },
    ]);
  }
  expect(await roles.getUserRole(token)).toEqual({ code: 3, details: "Invalid access token" });
}

test("a token that is signed here as the service does it is accepted: each one below is refused for its one difference", async () => {
  const token = sign(claims);
  expect((await stand.client().get(current, bearer(token))).json()["id"]).toBe(person.id);
  expect(await roles.getUserRole(token)).toMatchObject({ user_id: String(person.id) });
});

test.each(["none", "None", "nOnE", "NONE", "", null, ["HS256"], "hs256"])(
  "38 9.1.2 alg %j: refused, with any signature",
  async (alg) => {
    const header = { alg, typ: "JWT" };
    const [, , signature = ""] = sign(claims, header).split(".");
    for (const last of ["", signature, "AAAA"]) await expectRefused(`${encode(header)}.${encode(claims)}.${last}`);
  },
);

test.each([
  ["HS384", "sha384"],
  ["HS512", "sha512"],
])("38 9.1.2 %s with the same key: refused", async (alg, hash) => {
  await expectRefused(sign(claims, { alg, typ: "JWT" }, hash));
});

test("38 9.1.2 9.1.3 RS256 and ES256 with keys that the header brings along: refused", async () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  for (const [alg, pair] of [
    ["RS256", rsa],
    ["ES256", ec],
  ] as const) {
    const jwk = pair.publicKey.export({ format: "jwk" });
    const header = {
      alg,
      typ: "JWT",
      jwk,
      jku: "https://evil.example/jwks",
      x5u: "https://evil.example",
      kid: "../../dev/null",
    };
    const text = `${encode(header)}.${encode(claims)}`;
    const signature = createSign("sha256")
      .update(text)
      .sign({ key: pair.privateKey, dsaEncoding: "ieee-p1363" })
      .toString("base64url");
    await expectRefused(`${text}.${signature}`);
    // Our secret signs what their public key should open.
    const pem = pair.publicKey.export({ type: "spki", format: "pem" });
    await expectRefused(sign(claims, hs256, "sha256", pem));
  }
});

test.each([
  ["the secret itself", () => secret],
  ["the empty key", () => ""],
  ["the key of refresh tokens", () => ring("refresh-token").current.object],
  ["the key of mailed links", () => ring("one-time-token").current.object],
])("11.2.1 signed with %s: refused", async (_, key) => {
  await expectRefused(sign(claims, hs256, "sha256", key()));
});

test.each<[string, Record<string, unknown>]>([
  ["exp: past", { exp: now - 10 }],
  ["exp: text", { exp: String(now + 3600) }],
  ["exp: a fraction", { exp: now + 3600.5 }],
  ["exp: 1e300", { exp: 1e300 }],
  ["exp: null", { exp: null }],
  ["nbf: in the future", { nbf: now + 3600 }],
  ["iat: in the future", { iat: now + 3600 }],
  ["iss: another", { iss: "evil" }],
  ["aud: another", { aud: "evil" }],
  ["aud: a list without ours", { aud: ["evil"] }],
  ["token_type: refresh", { token_type: "refresh" }],
  ["user_id: text", { user_id: "1" }],
  ["user_id: a list", { user_id: [1] }],
  ["user_id: nobody's", { user_id: 2_000_000_000 }],
  ["sid: SQL", { sid: "' or 1=1 --" }],
  ["sid: nobody's", { sid: "00000000-0000-4000-8000-000000000000" }],
  ["epoch: negative", { epoch: -1 }],
])("40 41 9.2.1 %s: refused", async (_, changes) => {
  const token = sign({ ...claims, ...changes });
  const answer = await stand.client().get(current, bearer(token));
  expect(answer.status).toBe(401);
  expect(await roles.getUserRole(token)).toMatchObject({ code: expect.any(Number) });
});

test.each(["exp", "iat", "iss", "aud", "token_type", "user_id", "sid", "epoch", "jti"])(
  "40 9.2.1 without %s: refused",
  async (claim) => {
    await expectRefused(sign(without(claim)));
  },
);

test("41 9.1.1 texts that are no token, or ours with something done to it: 401, never 500", async () => {
  const [header = "", payload = "", signature = ""] = person.token.split(".");
  const bitFlipped = payload.slice(0, 10) + (payload[10] === "A" ? "B" : "A") + payload.slice(11);
  const broken = [
    "x",
    "a.b",
    "a.b.c.d.e",
    "....",
    `${person.token}=`,
    `${person.token}.`,
    `.${person.token}`,
    `${header}.${bitFlipped}.${signature}`,
    `${header}.${payload}.${signature.slice(0, -1)}`,
    `${header}.${payload}.${Buffer.from(signature, "base64url").toString("base64")}`,
    sign("just text"),
    sign([]),
    sign(null),
    sign({}),
    "x".repeat(7000),
  ];
  for (const token of broken) await expectRefused(token);
  expect([400, 431]).toContain((await stand.client().get(current, bearer("x".repeat(20_000)))).status);
  expect(await roles.getUserRole("x".repeat(1_000_000))).toMatchObject({ code: 8 });
});

describe("42 9.2.2 a token of one kind where another belongs", () => {
  test("everything that we give out, in every place but its own: refused", async () => {
    const { client, email } = await signUp(stand);
    const verify = tokenOf(await mailedLink(stand, "verify", email));
    await stand.client().post("/api/v1/users/password-reset/", { email });
    const reset = tokenOf(await mailedLink(stand, "reset-password", email));
    const [refresh = "", device = ""] = [client.cookie("refresh_token"), client.cookie("device_id")];
    for (const token of [refresh, device, verify, reset]) await expectRefused(token);
    for (const token of [person.token, device, verify, reset]) {
      const headers = { cookie: `refresh_token=${token}` };
      expect((await stand.client().post("/api/v1/tokens/refresh/", undefined, { headers })).status).toBe(401);
    }
    for (const token of [person.token, refresh, device, verify]) {
      const body = { token, new_password: "seven bicycles in the rain" };
      expect((await stand.client().post("/api/v1/users/password-reset/confirm/", body)).status).toBe(400);
    }
    const asJson = { headers: { accept: "application/json" } };
    for (const token of [refresh, device, reset]) {
      expect((await stand.client().get(`/api/v1/users/MQ/verify/${token}/`, asJson)).status).not.toBe(200);
    }
  });
});

describe("53 14.2.1 a token comes in by its header or cookie and no other way", () => {
  test("in the query, the body, the path, or another header: not seen", async () => {
    const { token } = person;
    const anyone = () => stand.client();
    const answers = [
      await anyone().get(`${current}?access_token=${token}&token=${token}&authorization=Bearer%20${token}`),
      await anyone().request("PATCH", current, { body: { access_token: token, authorization: `Bearer ${token}` } }),
      await anyone().get(current, {
        headers: { "x-access-token": token, "x-authorization": `Bearer ${token}`, "x-user-id": "1" },
      }),
      await anyone().get(current, {
        headers: { authorization: `Basic ${Buffer.from(`x:${token}`).toString("base64")}` },
      }),
      await anyone().get(current, { headers: { authorization: `JWT ${token}` } }),
      await anyone().get(current, {
        headers: { cookie: `Access_Token=${token}; access_token%00=${token}; __Host-access_token=${token}` },
      }),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
  });
});
