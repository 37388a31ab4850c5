import type { ActionContract, Result, Sent } from "../../lib/contract.ts";
import { rule, type Rule } from "../../lib/schema.ts";
import { fullViewRule } from "../../mixins/accounts/account.ts";
import { authContract, type SessionTokens } from "../auth/auth.contract.ts";
import { auditRowRule, usersContract } from "../users/users.contract.ts";
import type { RequestCookies } from "./cookies.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a route makes of an action's result. */
export interface Answer {
  readonly body: unknown;
  readonly cookies?: { readonly signIn: SessionTokens } | { readonly device: string | undefined } | "sign-out";
  /** Cursor of the next page, for the `Link` header. */
  readonly next?: string | null;
}

/** Headers that say more than how to read the request. */
export interface RequestHeaders {
  readonly idempotencyKey: string | null;
}

export interface Route {
  readonly method: Method;
  /** Fastify's form; the slash at the end is optional for clients. */
  readonly path: string;
  readonly action: ActionContract;
  /** Whether parameters are read from the JSON body. */
  readonly body: boolean;
  /** Whether the body is a form with a file instead (uploads.ts), which goes to the action as a stream. */
  readonly upload: boolean;
  /** Path parameters under the names that the action gives them. */
  readonly pathParams: Readonly<Record<string, string>>;
  /** Parameters that are read from the query. Never on a route that changes something. */
  readonly query: readonly string[];
  /** Parameters that the route decides: they beat the body's. */
  readonly fixed: (cookies: RequestCookies, headers: RequestHeaders) => Readonly<Record<string, unknown>>;
  /** Whether `Idempotency-Key` is understood. */
  readonly idempotent: boolean;
  /** On a route for anyone: whether a valid access token is looked at all the same. */
  readonly identify: boolean;
  readonly status: 200 | 201 | 204;
  readonly answer: (result: unknown) => Answer;
  /** A GET that does something, as the original has it. */
  readonly acts: boolean;
  /** Whether browsers get a page here instead. */
  readonly page: boolean;
  /** The answer's body, for OpenAPI. */
  readonly answers: Rule;
}

interface RouteOptions<C extends object> {
  body?: boolean;
  upload?: boolean;
  pathParams?: Readonly<Record<string, Extract<keyof Sent<C>, string>>>;
  query?: readonly Extract<keyof Sent<C>, string>[];
  fixed?: (cookies: RequestCookies, headers: RequestHeaders) => Partial<Sent<C>>;
  idempotent?: boolean;
  identify?: boolean;
  status?: Route["status"];
  page?: boolean;
  acts?: boolean;
  answers?: Rule;
}

const detailRule = rule({ type: "object", strict: true, props: { detail: { type: "string" } } });
const emptyRule = rule({ type: "object", strict: true, props: {} });

function route<C extends object>(
  [method, path]: readonly [Method, string],
  action: C & ActionContract,
  answer: (result: Result<C>) => Answer,
  options: RouteOptions<C> = {},
): Route {
  return {
    method,
    path: `/api/v1${path}`,
    action,
    body: options.body ?? false,
    upload: options.upload ?? false,
    pathParams: options.pathParams ?? {},
    query: options.query ?? [],
    fixed: options.fixed ?? (() => ({})),
    idempotent: options.idempotent ?? false,
    identify: options.identify ?? false,
    status: options.status ?? 200,
    page: options.page ?? false,
    acts: options.acts ?? false,
    // The table is read by one loop that knows no action's type; here they still belong together.
    answer: answer as (result: unknown) => Answer,
    answers: options.answers ?? action.returns,
  };
}

const nothing = (): Answer => ({ body: undefined });
const asIs = (result: unknown): Answer => ({ body: result });
const detail = (text: string) => (): Answer => ({ body: { detail: text } });
const signedIn = (tokens: SessionTokens): Answer => ({ body: {}, cookies: { signIn: tokens } });

const registration = (path: string, role: "CU" | "CO" | "RM"): Route =>
  route(["POST", path], authContract.register, ({ user, tokens }) => ({ body: user, cookies: { signIn: tokens } }), {
    body: true,
    fixed: (_, { idempotencyKey }) => ({ role, idempotency_key: idempotencyKey }),
    idempotent: true,
    status: 201,
    answers: fullViewRule,
  });

/** The REST contract in one table (CONTRACT.md, sections 1 and 5). */
export const routes: readonly Route[] = [
  registration("/users/customers/", "CU"),
  registration("/users/couriers/", "CO"),
  registration("/users/managers/", "RM"),
  route(["POST", "/users/moderators/"], authContract.createModerator, asIs, {
    body: true,
    fixed: (_, { idempotencyKey }) => ({ idempotency_key: idempotencyKey }),
    idempotent: true,
    status: 201,
  }),
  route(["GET", "/users/current/"], usersContract.current, asIs),
  route(["PUT", "/users/current/"], authContract.replaceOwn, asIs, { body: true }),
  route(["PATCH", "/users/current/"], authContract.updateOwn, asIs, { body: true }),
  route(["PUT", "/users/current/image/"], usersContract.changeOwnPicture, asIs, { upload: true }),
  route(
    ["GET", "/users/current/send-activation/"],
    authContract.sendVerification,
    detail("Verification email sent successfully"),
    { answers: detailRule, acts: true },
  ),
  route(["POST", "/users/current/password/"], authContract.changePassword, signedIn, {
    body: true,
    answers: emptyRule,
  }),
  route(
    ["POST", "/users/password-reset/"],
    authContract.requestPasswordReset,
    detail("If the address belongs to an account, a link is on its way to it."),
    { body: true, answers: detailRule },
  ),
  route(
    ["POST", "/users/password-reset/confirm/"],
    authContract.resetPassword,
    ({ device_id: device }) => ({ body: { detail: "The password has been changed" }, cookies: { device } }),
    { body: true, answers: detailRule },
  ),
  route(["GET", "/users/"], usersContract.list, ({ users, next }) => ({ body: users, next }), {
    query: ["role", "limit", "after", "search", "is_active", "is_email_verified"],
    answers: { type: "array", items: fullViewRule },
  }),
  route(["GET", "/users/:id/"], usersContract.view, asIs, { pathParams: { id: "id" }, identify: true }),
  route(["PUT", "/users/:id/"], usersContract.replace, asIs, { pathParams: { id: "id" }, body: true }),
  route(["PATCH", "/users/:id/"], usersContract.update, asIs, { pathParams: { id: "id" }, body: true }),
  route(["PUT", "/users/:id/image/"], usersContract.changePicture, asIs, { pathParams: { id: "id" }, upload: true }),
  route(["DELETE", "/users/:id/sessions/"], authContract.endSessionsOf, nothing, {
    pathParams: { id: "id" },
    status: 204,
  }),
  route(["GET", "/sessions/"], authContract.listSessions, asIs),
  route(["DELETE", "/sessions/"], authContract.endOtherSessions, nothing, { status: 204 }),
  route(
    ["DELETE", "/sessions/:id/"],
    authContract.endSession,
    ({ current }) => ({ body: undefined, ...(current && { cookies: "sign-out" }) }),
    { pathParams: { id: "id" }, status: 204 },
  ),
  route(["GET", "/audit/"], usersContract.listAudit, ({ entries, next }) => ({ body: entries, next }), {
    query: ["actor", "subject", "event", "ip", "outcome", "from", "to", "limit", "after"],
    answers: { type: "array", items: auditRowRule },
  }),
  route(["POST", "/tokens/"], authContract.login, signedIn, { body: true, answers: emptyRule }),
  route(["POST", "/tokens/refresh/"], authContract.refresh, signedIn, {
    fixed: ({ refreshToken = "" }) => ({ refresh_token: refreshToken }),
    identify: true,
    answers: emptyRule,
  }),
  route(["POST", "/tokens/clear/"], authContract.logout, () => ({ body: {}, cookies: "sign-out" }), {
    fixed: ({ refreshToken }) => (refreshToken === undefined ? {} : { refresh_token: refreshToken }),
    identify: true,
    answers: emptyRule,
  }),
];

/** GET verifies only for `Accept: application/json`; browsers get a page instead (link-pages.ts). */
export const verifyRoute = route(
  ["GET", "/users/:uidb64/verify/:token/"],
  authContract.verifyEmail,
  detail("Email has been successfully verified"),
  { pathParams: { uidb64: "user_reference", token: "token" }, answers: detailRule, page: true },
);
