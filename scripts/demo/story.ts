import { randomBytes } from "node:crypto";
import { openBrowser, type Answer } from "./browser.ts";
import { check, heading, tell, wait } from "./report.ts";
import type { RolesClient } from "./roles-client.ts";

export interface Character {
  /** The last part of the registration's path. */
  readonly path: string;
  readonly role: string;
  /** As roles.proto names it. */
  readonly grpcRole: string;
  readonly firstName: string;
}

export const characters: readonly Character[] = [
  { path: "customers", role: "CU", grpcRole: "USER_ROLE_CUSTOMER", firstName: "Zoë" },
  { path: "couriers", role: "CO", grpcRole: "USER_ROLE_COURIER", firstName: "Jan" },
  { path: "managers", role: "RM", grpcRole: "USER_ROLE_RESTAURANT_MANAGER", firstName: "Łucja" },
];

const password = "correct horse battery";
const mailWithinMs = 5000;

/**
 * One person registers, verifies the address, signs in, refreshes, is asked about by gRPC, and signs out.
 * @returns the id of the account
 * @throws Difference at the first step that is not as it should be
 */
export async function play({ path, role, grpcRole, firstName }: Character, url: string, roles: RolesClient) {
  heading(`${path} (${role})`);
  const email = `demo.${randomBytes(6).toString("hex")}@example.com`;
  const user_profile = { first_name: firstName, last_name: "Demo", phone: "+48512345678", birth_date: "1990-05-17" };

  const phone = openBrowser(url);
  const registered = await phone.ask("POST", `/api/v1/users/${path}/`, { email, password, user_profile });
  check("register", [registered.status, summary(registered)], [201, { email, role, verified: false }]);
  const id = Number(registered.body["id"]);
  tell(
    "id and cookies",
    `${id}, ${["access_token", "refresh_token"].filter((name) => phone.cookie(name)).join(" + ")}`,
  );
  const refused = await roles.getUserRole(phone.cookie("access_token") ?? "");
  check("gRPC, unverified", refused, ["UNAUTHENTICATED", "User has got unverified email"]);

  const link = await mailedLink(url, email);
  const verified = await phone.ask("GET", link.pathname);
  check("open the link", [verified.status, verified.body["detail"]], [200, "Email has been successfully verified"]);
  const current = await phone.ask("GET", "/api/v1/users/current/");
  check("who am I", [current.status, summary(current)], [200, { email, role, verified: true }]);

  const laptop = openBrowser(url);
  check("sign in", (await laptop.ask("POST", "/api/v1/tokens/", { email, password })).status, 200);
  const access = laptop.cookie("access_token") ?? "";
  check("gRPC GetUserRole", await roles.getUserRole(access), [String(id), grpcRole]);
  const before = laptop.cookie("refresh_token");
  check("refresh", (await laptop.ask("POST", "/api/v1/tokens/refresh/")).status, 200);
  check("refresh token", laptop.cookie("refresh_token") === before ? "the same" : "a new one", "a new one");
  check("sign out", (await laptop.ask("POST", "/api/v1/tokens/clear/")).status, 200);
  check("gRPC, signed out", await roles.getUserRole(access), ["UNAUTHENTICATED", "Session has ended"]);
  await phone.ask("POST", "/api/v1/tokens/clear/");
  return id;
}

const summary = ({ body }: Answer) =>
  "email" in body ? { email: body["email"], role: body["role"], verified: body["is_email_verified"] } : body;

interface Mail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

async function mailedLink(url: string, address: string): Promise<URL> {
  const mail = await wait(async () => {
    const mails = (await (await fetch(`${url}/dev/mailbox.json`)).json()) as readonly Mail[];
    return mails.find(({ to }) => to.includes(address));
  }, mailWithinMs);
  const link = URL.parse(/https?:\/\/\S+\/verify\/\S+/.exec(mail?.text ?? "")?.[0] ?? "");
  const seen = mail ? `arrived, ${link ? "with a link" : `without a link: ${mail.text}`}` : "none came";
  check("verification mail", seen, "arrived, with a link");
  tell("  its subject", mail?.subject ?? "");
  tell("  its link", link?.href ?? "");
  return link ?? new URL(url);
}
