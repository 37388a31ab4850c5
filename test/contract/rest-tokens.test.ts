import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Answer } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import { startService, type TestStand } from "../support/service.ts";
import { bearer, said, setCookiesOf, signUp } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
beforeAll(async () => {
  stand = await startStand();
});
afterAll(() => stand.stop());

const login = "/api/v1/tokens/";
const refresh = "/api/v1/tokens/refresh/";
const clear = "/api/v1/tokens/clear/";
const cookie = (text: string) => ({ headers: { cookie: text } });
const withRefresh = (token: string) => cookie(`refresh_token=${token}`);
const invalidToken = { detail: "Token is invalid or expired", code: "invalid_token" };
const wrong = { detail: "No active account found with the given credentials", code: "invalid_credentials" };

/** What a browser does with each cookie, apart from its value. */
const attributesOf = (answer: Answer) =>
  setCookiesOf(answer).map(({ name, value, attributes }) => ({ name, empty: value === "", ...attributes }));
const gone = { empty: true, "Max-Age": "0", Expires: "Thu, 01 Jan 1970 00:00:00 GMT" };
const refreshedCookies = (session: boolean, common: object) => signedInCookies(session, common).slice(0, 3);
function signedInCookies(session: boolean, common: object) {
  const age = (seconds: string) => (session ? {} : { "Max-Age": seconds });
  return [
    { name: "access_token", empty: false, Path: "/", ...age("86400"), ...common },
    { name: "refresh_token", empty: false, Path: "/api/v1/tokens", ...age("864000"), ...common },
    { name: "refresh_token", Path: "/", ...gone, ...common },
    { name: "device_id", empty: false, Path: "/api/v1", ...age("31536000"), ...common },
  ];
}
const signedOutCookies = (common: object) => [
  { name: "access_token", Path: "/", ...gone, ...common },
  { name: "refresh_token", Path: "/api/v1/tokens", ...gone, ...common },
  { name: "refresh_token", Path: "/", ...gone, ...common },
];

describe("cookies", () => {
  test.each([
    ["http", { HttpOnly: "", SameSite: "Lax" }],
    ["https", { HttpOnly: "", SameSite: "Lax", Secure: "" }],
  ])("%s: the same attributes on set, on refresh and on clear", async (protocol, common) => {
    const https = { WEB_APP_PROTOCOL: "https", PUBLIC_URL: "https://id.example.com" };
    const service = protocol === "https" ? await startService(https) : undefined;
    try {
      const on = service ?? stand;
      for (const expires_session of [false, true]) {
        const { email, client } = await signUp(on, "CU", { expires_session });
        const signedIn = await client.post(login, { email, password, expires_session });
        expect(said(signedIn)).toEqual([200, {}]);
        expect(attributesOf(signedIn)).toEqual(signedInCookies(expires_session, common));
        // Twice: what the second one knows of the browser's session comes from the server.
        for (const answer of [await client.post(refresh), await client.post(refresh)]) {
          expect(said(answer)).toEqual([200, {}]);
          expect(attributesOf(answer)).toEqual(refreshedCookies(expires_session, common));
        }
        const cleared = await client.post(clear);
        expect([cleared.status, attributesOf(cleared)]).toEqual([200, signedOutCookies(common)]);
      }
    } finally {
      await service?.stop();
    }
  });

  test("registration: session cookies where it asks for them, and after a refresh as well", async () => {
    const client = stand.client();
    const answer = await client.post("/api/v1/users/couriers/", registration({ expires_session: true }));
    const common = { HttpOnly: "", SameSite: "Lax" };
    expect(attributesOf(answer)).toEqual(signedInCookies(true, common));
    expect(attributesOf(await client.post(refresh))).toEqual(refreshedCookies(true, common));
  });
});

describe("POST /tokens/", () => {
  test("with an unverified address, in any spelling: signed in, last_login is told", async () => {
    const { email } = await signUp(stand);
    const client = stand.client();
    expect(said(await client.post(login, { email: ` ${email.toUpperCase()}`, password }))).toEqual([200, {}]);
    const { last_login } = (await client.get("/api/v1/users/current/")).json();
    expect(last_login).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Math.abs(Date.now() - Date.parse(String(last_login)))).toBeLessThan(60_000);
  });

  test("wrong password, unknown address, inactive account, no address at all: byte for byte the same", async () => {
    const { email } = await signUp(stand);
    const inactive = await signUp(stand);
    await stand.query("update users set is_active = false where id = $1", [inactive.id]);
    const tries = [
      { email, password: "something else" },
      { email: uniqueEmail("nobody"), password },
      { email: inactive.email, password },
      { email: "no address", password },
      { email: `${email}\u0000`, password },
    ];
    for (const body of tries) {
      const answer = await stand.client().post(login, body);
      expect(said(answer)).toEqual([401, wrong]);
      expect(setCookiesOf(answer)).toEqual([]);
    }
  });

  test.each([
    ["an array", { email: ["a@example.com", "b@example.com"], password }, "email"],
    ["an operator", { email: { $ne: "" }, password }, "email"],
    ["a missing password", { email: "a@example.com" }, "password"],
    ["null", { email: "a@example.com", password: null }, "password"],
    ["true", { email: "a@example.com", password: true }, "password"],
  ])("%s: 400 naming the field", async (_, body, field) => {
    const answer = await stand.client().post(login, body);
    expect([answer.status, Object.keys(answer.json())]).toEqual([400, [field]]);
  });

  test("the body alone counts, never the query; unknown fields are ignored", async () => {
    const { email } = await signUp(stand);
    const answer = await stand.client().post(`${login}?email=${encodeURIComponent(email)}`, { password });
    expect(answer.status).toBe(400);
    const body = { email, password, username: "x", remember: true };
    expect((await stand.client().post(`${login}?email=nobody@example.com`, body)).status).toBe(200);
  });
});

describe("POST /tokens/refresh/", () => {
  test("each token is exchanged for another pair", async () => {
    const { client } = await signUp(stand);
    const before = [client.cookie("access_token"), client.cookie("refresh_token")];
    expect(said(await client.post(refresh))).toEqual([200, {}]);
    expect(before).not.toContain(client.cookie("refresh_token"));
    expect((await client.get("/api/v1/users/current/")).status).toBe(200);
  });

  test("a lost answer: the same token within 30 s, while its successor is unused, gives the same successor", async () => {
    const { client } = await signUp(stand);
    const first = client.cookie("refresh_token") ?? "";
    await client.post(refresh);
    const second = client.cookie("refresh_token");
    const again = stand.client();
    expect((await again.post(refresh, undefined, withRefresh(first))).status).toBe(200);
    expect(again.cookie("refresh_token")).toBe(second);
    expect((await again.post(refresh)).status).toBe(200);
  });

  test("after the grace time an old token ends the whole family, its successor unused", async () => {
    const { id, client } = await signUp(stand);
    const first = client.cookie("refresh_token") ?? "";
    await client.post(refresh);
    await stand.query("update sessions set rotated_at = rotated_at - interval '31 seconds' where user_id = $1", [id]);
    expect(said(await stand.client().post(refresh, undefined, withRefresh(first)))).toEqual([401, invalidToken]);
    expect((await client.post(refresh)).status).toBe(401);
    expect((await client.get("/api/v1/users/current/")).status).toBe(401);
  });

  test("shortly before the session's end: neither token outlives it", async () => {
    const { id, client } = await signUp(stand);
    await stand.query("update sessions set expires_at = now() + interval '10 minutes' where user_id = $1", [id]);
    const answer = await client.post(refresh);
    expect(answer.status).toBe(200);
    const [access, next] = setCookiesOf(answer);
    const { exp, iat } = JSON.parse(Buffer.from(access?.value.split(".")[1] ?? "", "base64url").toString()) as {
      exp: number;
      iat: number;
    };
    for (const seconds of [exp - iat, access?.attributes["Max-Age"], next?.attributes["Max-Age"]].map(Number)) {
      expect(seconds).toBeLessThanOrEqual(600);
      expect(seconds).toBeGreaterThan(570);
    }
  });

  test("the cookies of two accounts: refused, and neither session is touched", async () => {
    const [one, other] = [await signUp(stand), await signUp(stand)];
    const mixed = cookie(`access_token=${one.token}; refresh_token=${other.client.cookie("refresh_token") ?? ""}`);
    const answer = await stand.client().post(refresh, undefined, mixed);
    expect(said(answer)).toEqual([401, invalidToken]);
    expect(setCookiesOf(answer)).toEqual([]);
    expect((await other.client.post(refresh)).status).toBe(200);
    expect((await one.client.post(refresh)).status).toBe(200);
  });

  test("without an access cookie, or with one that is no good: the refresh cookie counts alone", async () => {
    const { client } = await signUp(stand);
    const alone = stand.client();
    const token = client.cookie("refresh_token") ?? "";
    expect((await alone.post(refresh, undefined, withRefresh(token))).status).toBe(200);
    const next = alone.cookie("refresh_token") ?? "";
    const broken = cookie(`access_token=e30.e30.e30; refresh_token=${next}`);
    expect((await stand.client().post(refresh, undefined, broken)).status).toBe(200);
  });

  test.each([
    ["none", ""],
    ["an empty one", "refresh_token="],
    ["nonsense", "refresh_token=nonsense"],
    ["86 characters that we never made", `refresh_token=${"A".repeat(86)}`],
    ["5,000 characters", `refresh_token=${"A".repeat(5000)}`],
    ["its value as JSON", "refresh_token=%7B%22a%22%3A1%7D"],
    ["a NUL", "refresh_token=%00"],
  ])("%s: 401 and no cookies", async (_, text) => {
    const answer = await stand.client().post(refresh, undefined, text === "" ? {} : cookie(text));
    expect(said(answer)).toEqual([401, invalidToken]);
    expect(setCookiesOf(answer)).toEqual([]);
  });

  test("in a body, a query or as an access token: refused", async () => {
    const { client, token } = await signUp(stand);
    const refreshToken = client.cookie("refresh_token") ?? "";
    const anyone = () => stand.client();
    expect((await anyone().post(refresh, { refresh_token: refreshToken })).status).toBe(401);
    expect((await anyone().post(`${refresh}?refresh_token=${refreshToken}`)).status).toBe(401);
    expect((await anyone().post(refresh, undefined, withRefresh(token))).status).toBe(401);
    expect((await anyone().get("/api/v1/users/current/", bearer(refreshToken))).status).toBe(401);
    expect((await anyone().get(`/api/v1/users/current/?access_token=${token}`)).status).toBe(401);
  });

  test("an account that was deactivated: refused", async () => {
    const { id, client } = await signUp(stand);
    await stand.query("update users set is_active = false where id = $1", [id]);
    expect(said(await client.post(refresh))).toEqual([401, invalidToken]);
  });
});

describe("POST /tokens/clear/", () => {
  test("by the access cookie, the refresh cookie or the bearer: the session is over on the server", async () => {
    for (const sent of ["access", "refresh", "bearer"] as const) {
      const { client, token } = await signUp(stand);
      const kept = client.cookie("refresh_token") ?? "";
      const options = {
        access: cookie(`access_token=${token}`),
        refresh: withRefresh(kept),
        bearer: bearer(token),
      }[sent];
      expect(said(await stand.client().post(clear, undefined, options))).toEqual([200, {}]);
      expect((await client.get("/api/v1/users/current/")).status).toBe(401);
      expect((await client.post(refresh)).status).toBe(401);
    }
  });

  test.each([
    ["nobody", ""],
    ["nonsense", "access_token=x; refresh_token=y"],
    ["a refresh cookie of 5,000 characters", `refresh_token=${"A".repeat(5000)}`],
  ])("%s: 200 and both cookies cleared", async (_, text) => {
    const answer = await stand.client().post(clear, undefined, text === "" ? {} : cookie(text));
    expect([answer.status, attributesOf(answer)]).toEqual([200, signedOutCookies({ HttpOnly: "", SameSite: "Lax" })]);
  });

  test("other sessions of the account live on", async () => {
    const { email, client } = await signUp(stand);
    const other = stand.client();
    await other.post(login, { email, password });
    await client.post(clear);
    expect((await other.get("/api/v1/users/current/")).status).toBe(200);
  });
});

describe("the bearer beats the cookie", () => {
  test("valid: it decides who asks; invalid: 401, although the cookie is good", async () => {
    const [one, other] = [await signUp(stand), await signUp(stand)];
    const current = (token: string) => one.client.get("/api/v1/users/current/", bearer(token));
    expect((await current(other.token)).json()).toMatchObject({ id: other.id });
    expect(said(await current("e30.e30.e30"))).toEqual([401, invalidToken]);
    const noneAlg = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${other.token.split(".")[1] ?? ""}.`;
    for (const token of [noneAlg, `${other.token}=`, "a.b.c.d.e", "x".repeat(7000)]) {
      expect(said(await current(token))).toEqual([401, invalidToken]);
    }
  });

  test("on a route for anyone a token that is not valid is ignored", async () => {
    const { id } = await signUp(stand);
    const answer = await stand.client().get(`/api/v1/users/${id}/`, cookie("access_token=x"));
    expect([answer.status, Object.keys(answer.json())]).toEqual([200, ["id", "role", "user_profile"]]);
  });
});
