import { expect } from "@jest/globals";
import type { Answer, Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";

/** Whatever has accounts: the service in this process or in another. */
export type Stand = Pick<TestStand, "client" | "query" | "url">;
export type Role = "CU" | "CO" | "RM" | "MO";

export interface Person {
  readonly id: number;
  readonly email: string;
  /** Signed in. */
  readonly client: Client;
  /** An access token. */
  readonly token: string;
}

const pathOf = { CU: "customers", CO: "couriers", RM: "managers", MO: "managers" } as const;

/** Registers over HTTP; a moderator is a manager whose row was changed, verified or not as asked. */
export async function signUp(
  on: Stand,
  role: Role = "CU",
  { verified = role === "MO", ...changes }: Record<string, unknown> & { verified?: boolean } = {},
): Promise<Person> {
  const client = on.client();
  let body = registration();
  const answer = await patiently(() => {
    body = registration({ email: uniqueEmail(role.toLowerCase()), ...changes });
    return client.post(`/api/v1/users/${pathOf[role]}/`, body);
  });
  expect([answer.status, answer.text]).toEqual([201, expect.any(String)]);
  const id = Number(answer.json()["id"]);
  await on.query(
    "update users set role = $2::text, roles_held = array(select distinct unnest(roles_held || $2::text)), is_email_verified = $3 where id = $1",
    [id, role, verified],
  );
  return { id, email: body.email, client, token: client.cookie("access_token") ?? "" };
}

/**
 * As a client that comes again when it is told to: hashing steps back behind everything else, and many who want it at once
 * may be too many on a busy machine.
 */
export async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
  return await eventually("an answer that is not 503", async () => {
    const answer = await ask();
    return answer.status === 503 ? undefined : answer;
  });
}

type MailingStand = Pick<TestStand, "mails">;

/** The path of the newest link of a kind (`verify`, `reset-password`, …) mailed to an address, once there are so many. */
export const mailedLink = (on: MailingStand, kind: string, address: string, count = 1): Promise<string> =>
  eventually(`link ${count} to ${kind} for ${address}`, async () => {
    const mails = (await on.mails()).filter(({ to }) => to.includes(address));
    const links = mails.flatMap(({ text }) => new RegExp(`https?://\\S+/${kind}/\\S+`).exec(text) ?? []);
    return links.length >= count ? new URL(links[0] ?? "").pathname : undefined;
  });

/** The token of a mailed link. */
export const tokenOf = (link: string): string => link.split("/").at(-2) ?? "";

/** The form of a page that a link leads to, as a browser sends it. */
export const submitForm = (
  on: Pick<TestStand, "client">,
  link: string,
  form: Record<string, string>,
): Promise<Answer> =>
  on.client().request("POST", link, {
    raw: new URLSearchParams(form).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });

/** Whoever asked for a link to set a new password has got it by now, or gets none. */
export const resetRequestsFollowedUp = (on: Pick<TestStand, "query">): Promise<true> =>
  eventually("reset requests are followed up", async () => {
    const waiting = await on.query("select 1 from password_reset_requests");
    return waiting.length === 0 ? true : undefined;
  });

/** Status and parsed body, to be compared at once. */
export const said = (answer: Answer): [number, unknown] => [answer.status, answer.text && answer.json()];

export const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

/** The registration of a moderator and everybody else, as the contract's full view shows it. */
export function fullViewOf(on: Stand, role: Role, body: ReturnType<typeof registration>): Record<string, unknown> {
  const { first_name, last_name, phone, birth_date } = body.user_profile;
  return {
    id: expect.any(Number),
    email: body.email,
    pending_email: null,
    role,
    last_login: null,
    is_active: true,
    is_email_verified: role === "MO",
    user_profile: {
      first_name,
      last_name,
      full_name: `${first_name} ${last_name}`,
      phone,
      image_url: expect.stringMatching(new RegExp(`^${on.url}/.{1,150}$`)),
      birth_date,
      age: ageToday(birth_date),
    },
  };
}

/** Counted by another way than the product's: one birthday after the other. */
export function ageToday(birthDate: string): number {
  const [year = 0, month = 1, day = 1] = birthDate.split("-").map(Number);
  let age = -1;
  while (Date.UTC(year + age + 1, month - 1, day) <= Date.now()) age++;
  return age;
}

export const fullViewFields = [
  "email",
  "id",
  "is_active",
  "is_email_verified",
  "last_login",
  "pending_email",
  "role",
  "user_profile.age",
  "user_profile.birth_date",
  "user_profile.first_name",
  "user_profile.full_name",
  "user_profile.image_url",
  "user_profile.last_name",
  "user_profile.phone",
];
export const publicViewFields = [
  "id",
  "role",
  "user_profile.first_name",
  "user_profile.full_name",
  "user_profile.image_url",
];

export const sessionFields = ["created_at", "current", "id", "ip", "last_used_at", "user_agent"];

export const auditFields = [
  "actor_id",
  "details",
  "event",
  "id",
  "ip",
  "occurred_at",
  "outcome",
  "request_id",
  "subject_id",
  "user_agent",
];

/** `{a: {b: 1}}` -> `["a.b"]`, sorted. */
export function fieldsOf(value: object, prefix = ""): string[] {
  return Object.entries(value as Record<string, unknown>)
    .flatMap(([name, inner]) =>
      typeof inner === "object" && inner !== null ? fieldsOf(inner, `${prefix}${name}.`) : [prefix + name],
    )
    .toSorted();
}

export interface SetCookie {
  readonly name: string;
  readonly value: string;
  /** Without the value; by name, as they were sent. */
  readonly attributes: Readonly<Record<string, string>>;
}

export function setCookiesOf(answer: Answer): SetCookie[] {
  return answer.headers.getSetCookie().map((line) => {
    const [pair = "", ...rest] = line.split("; ");
    const at = pair.indexOf("=");
    const attributes = rest.map((text) => [text.split("=")[0] ?? "", text.split("=")[1] ?? ""] as const);
    return { name: pair.slice(0, at), value: pair.slice(at + 1), attributes: Object.fromEntries(attributes) };
  });
}
