import type { RequestOptions } from "../support/client.ts";
import { password, registration } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import { linkIn, type TestStand } from "../support/service.ts";
import { mailedLink, tokenOf, type Person } from "./accounts.ts";

export type Sample = RequestOptions & { readonly method: string; readonly path: string };

const profile = registration().user_profile;
const new_password = "seven bicycles in the rain";

/** A request that succeeds for whoever may make it. @param route as in services/api-gateway/permissions.ts */
export async function sampleOf(on: TestStand, route: string, target: Person): Promise<Sample> {
  const [method = "", pattern = ""] = route.split(" ");
  const accept = { headers: { accept: "application/json" } };
  const at = (path: string, options: RequestOptions = {}) => ({ method, path, ...options });
  if (pattern.includes(":uidb64")) return at(linkIn(await on.mailTo(target.email)), accept);
  if (pattern.endsWith("/tokens/")) return at(pattern, { body: { email: target.email, password } });
  if (pattern.endsWith("/refresh/")) {
    return at(pattern, { headers: { cookie: `refresh_token=${target.client.cookie("refresh_token") ?? ""}` } });
  }
  if (pattern.endsWith("/sessions/:id/")) return at(pattern.replace(":id", await sessionOf(on, target)));
  if (pattern.endsWith("/clear/") || ["GET", "DELETE"].includes(method)) {
    return at(pattern.replace(":id", String(target.id)));
  }
  if (pattern.endsWith("/password/")) return at(pattern, { body: { current_password: password, new_password } });
  if (pattern.endsWith("/password-reset/")) return at(pattern, { body: { email: target.email } });
  if (pattern.endsWith("/confirm/"))
    return at(pattern, { body: { token: await resetToken(on, target), new_password } });
  if (method === "POST") return at(pattern, { body: registration() });
  if (pattern.endsWith("/image/")) return at(pattern.replace(":id", String(target.id)), { form: pictureForm() });
  // What is there already: it is enough to see whether it would be done.
  const body = { email: target.email, user_profile: { ...profile, first_name: "Ewa" } };
  return at(pattern.replace(":id", String(target.id)), { body });
}

async function sessionOf(on: TestStand, { id }: Person): Promise<string> {
  const [session] = await on.query<{ id: string }>("select id from sessions where user_id = $1", [id]);
  return session?.id ?? "";
}

async function resetToken(on: TestStand, { email }: Person): Promise<string> {
  await on.client().post("/api/v1/users/password-reset/", { email });
  return tokenOf(await mailedLink(on, "reset-password", email));
}

/** By table, what a request could have changed: as sums, since there are many rows. */
const watched: Readonly<Record<string, string>> = {
  users: "users",
  user_profiles: "user_profiles",
  // Without the times that change when a mail from before goes out.
  one_time_tokens: "(select id, user_id, purpose, address, ended_at from one_time_tokens)",
  sessions: "sessions",
  outbox: "(select id from outbox)",
  mails: "(select id from mails)",
  password_reset_requests: "password_reset_requests",
  // Refusals are written down, and so are reads: a second later, maybe those of another test.
  audit_log: "(select * from audit_log where outcome = 'success' and event <> 'sensitive_read')",
};
export async function stateOf(on: Pick<TestStand, "query">): Promise<Record<string, unknown>> {
  const sums = Object.entries(watched).map(
    ([table, rows]) => `(select sum(hashtextextended(t::text, 0)) from ${rows} t) as ${table}`,
  );
  const [state] = await on.query<Record<string, unknown>>(`select ${sums.join()}`);
  return { ...state };
}
