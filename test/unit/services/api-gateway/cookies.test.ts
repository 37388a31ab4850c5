import { describe, expect, test } from "@jest/globals";
import { readCookies, signInCookies, signOutCookies } from "../../../../services/api-gateway/cookies.ts";

const tokens = { access_token: "a.b.c", refresh_token: "r-1_2", access_max_age: 86_400, refresh_max_age: 864_000 };
const session = { ...tokens, access_max_age: null, refresh_max_age: null };
const epoch = "Thu, 01 Jan 1970 00:00:00 GMT";

describe("signInCookies", () => {
  test("sets both cookies, and expires the refresh token that the original put on /", () => {
    expect(signInCookies(tokens, false)).toEqual([
      "access_token=a.b.c; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax",
      "refresh_token=r-1_2; Max-Age=864000; Path=/api/v1/tokens; HttpOnly; SameSite=Lax",
      `refresh_token=; Max-Age=0; Path=/; Expires=${epoch}; HttpOnly; SameSite=Lax`,
    ]);
  });

  test("without a lifetime they end with the browser's session", () => {
    const [access = "", refresh = ""] = signInCookies(session, false);
    expect([access, refresh].join()).not.toMatch(/Max-Age|Expires/);
  });

  test("a device that has just signed in is told for a year, or for the browser's session", () => {
    const device_id = "d-1_2";
    expect(signInCookies({ ...tokens, device_id }, true).at(-1)).toBe(
      "device_id=d-1_2; Max-Age=31536000; Path=/api/v1; HttpOnly; Secure; SameSite=Lax",
    );
    expect(signInCookies({ ...session, device_id }, false).at(-1)).toBe(
      "device_id=d-1_2; Path=/api/v1; HttpOnly; SameSite=Lax",
    );
    expect(readCookies("device_id=d-1_2").deviceId).toBe(device_id);
  });

  test("over TLS every one of them is Secure", () => {
    const cookies = [...signInCookies(tokens, true), ...signOutCookies(true)];
    expect(cookies.filter((cookie) => !cookie.includes("; Secure"))).toEqual([]);
    expect(signInCookies(tokens, false).join()).not.toContain("Secure");
  });

  test("none can be read by scripts, none names a domain, none goes along with foreign requests", () => {
    for (const cookie of [...signInCookies(tokens, true), ...signInCookies(session, true), ...signOutCookies(true)]) {
      expect(cookie).toContain("; HttpOnly");
      expect(cookie).toContain("; SameSite=Lax");
      expect(cookie).not.toMatch(/Domain=/i);
    }
  });
});

describe("signOutCookies", () => {
  test("expires what signing in sets, and what the original set", () => {
    expect(signOutCookies(false)).toEqual([
      `access_token=; Max-Age=0; Path=/; Expires=${epoch}; HttpOnly; SameSite=Lax`,
      `refresh_token=; Max-Age=0; Path=/api/v1/tokens; Expires=${epoch}; HttpOnly; SameSite=Lax`,
      `refresh_token=; Max-Age=0; Path=/; Expires=${epoch}; HttpOnly; SameSite=Lax`,
    ]);
  });

  test.each([true, false])(
    "has the attributes that signing in gave them (secure: %s), or they would stay",
    (secure) => {
      const attributes = (cookie: string) =>
        cookie.replaceAll(/=[^;]*(?=; Max-Age)|Max-Age=[^;]*; |Expires=[^;]*; /g, "");
      expect(signOutCookies(secure).map(attributes)).toEqual(signInCookies(tokens, secure).map(attributes));
    },
  );
});

describe("readCookies", () => {
  const nothing = { accessToken: undefined, refreshToken: undefined };

  test("finds both among others", () => {
    expect(readCookies("x=1; access_token=a.b.c; y=2; refresh_token=r")).toEqual({
      accessToken: "a.b.c",
      refreshToken: "r",
    });
  });

  test("what was set is what is read", () => {
    const pairs = signInCookies(tokens, true)
      .slice(0, 2)
      .map((cookie) => cookie.split(";")[0]);
    expect(readCookies(pairs.join("; "))).toEqual({ accessToken: "a.b.c", refreshToken: "r-1_2" });
  });

  test("of two with one name the first counts", () => {
    expect(readCookies("access_token=first; access_token=second").accessToken).toBe("first");
  });

  test.each([
    ["no header", undefined],
    ["an empty one", ""],
    ["another case", "Access_Token=a; REFRESH_TOKEN=r"],
    ["names that only end alike", "xaccess_token=a; refresh_token2=r"],
    ["no value", "access_token; refresh_token"],
    ["separators alone", ";;; ; ="],
    ["names of Object's own", "__proto__=x; constructor=y; toString=z"],
  ])("%s: there is none", (_, header) => {
    expect(readCookies(header)).toEqual(nothing);
  });

  test("an escape that is none does not break anything", () => {
    expect(() => readCookies("access_token=%E0%A4%A; refresh_token=%")).not.toThrow();
  });
});
