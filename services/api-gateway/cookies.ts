import { parse, serialize } from "cookie";
import type { SessionTokens } from "../auth/auth.contract.ts";

const accessName = "access_token";
const refreshName = "refresh_token";
/** The refresh token goes where it is exchanged and nowhere else. */
const refreshPath = "/api/v1/tokens";
/** Tells auth that somebody signed in from here before; it stays when he signs out. */
const deviceName = "device_id";
const devicePath = "/api/v1";
const deviceMaxAgeSeconds = 365 * 24 * 60 * 60;

export interface RequestCookies {
  readonly accessToken: string | undefined;
  readonly refreshToken: string | undefined;
  readonly deviceId: string | undefined;
}

/** Of two cookies with one name the first counts: browsers send the one with the longer path first (RFC 6265, 5.4). */
export function readCookies(header: string | undefined): RequestCookies {
  const cookies = header === undefined ? {} : parse(header);
  return { accessToken: cookies[accessName], refreshToken: cookies[refreshName], deviceId: cookies[deviceName] };
}

/** `Set-Cookie` values that sign a browser in. */
export function signInCookies(tokens: SessionTokens, secure: boolean): string[] {
  const deviceMaxAge = tokens.refresh_max_age === null ? null : deviceMaxAgeSeconds;
  return [
    cookie(accessName, tokens.access_token, "/", secure, tokens.access_max_age),
    cookie(refreshName, tokens.refresh_token, refreshPath, secure, tokens.refresh_max_age),
    expiredOriginalRefresh(secure),
    ...(tokens.device_id === undefined ? [] : [cookie(deviceName, tokens.device_id, devicePath, secure, deviceMaxAge)]),
  ];
}

/** For whoever has set a new password by a mailed link, which signs nobody in. */
export const deviceCookie = (deviceId: string, secure: boolean): string =>
  cookie(deviceName, deviceId, devicePath, secure, deviceMaxAgeSeconds);

/** `Set-Cookie` values that sign a browser out. */
export function signOutCookies(secure: boolean): string[] {
  return [
    cookie(accessName, "", "/", secure, 0),
    cookie(refreshName, "", refreshPath, secure, 0),
    expiredOriginalRefresh(secure),
  ];
}

/** The original put the refresh token on `/`: left there, it would go along with every request. */
const expiredOriginalRefresh = (secure: boolean): string => cookie(refreshName, "", "/", secure, 0);

function cookie(name: string, value: string, path: string, secure: boolean, maxAge: number | null): string {
  return serialize(name, value, {
    path,
    httpOnly: true,
    sameSite: "lax",
    secure,
    ...(maxAge !== null && { maxAge }),
    ...(maxAge === 0 && { expires: new Date(0) }),
  });
}
