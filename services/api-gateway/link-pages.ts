import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { call } from "../../lib/actions.ts";
import type { Actor } from "../../lib/principal.ts";
import { errorList, errorType, type ServiceError } from "../../lib/errors.ts";
import { authContract, type DeviceOnly } from "../auth/auth.contract.ts";
import { deviceCookie } from "./cookies.ts";
import { identify } from "./identify.ts";
import type { Page } from "./openapi.ts";
import { buttonPage, donePage, errorPage, formPage, type ButtonTexts } from "./pages.ts";
import { demandPermission } from "./permissions.ts";
import { verifyRoute } from "./routes.ts";
import { pagePolicy } from "./security-headers.ts";
import { handle, type GatewayDeps } from "./serve-routes.ts";

interface LinkPage extends ButtonTexts {
  /** The last part of the link's path (services/mailer/deliver.ts). */
  readonly name: string;
  /** `password`: of whoever is not signed in. */
  readonly asks: "password" | "new password";
  readonly follow: (broker: GatewayDeps["broker"], link: Link, typed: Passwords, actor: Actor) => Promise<DeviceOnly>;
}

/** Links that are opened by a person alone, each with one button. */
const buttonLinks: readonly LinkPage[] = [
  {
    name: "confirm-email",
    title: "Confirm your new e-mail address",
    question: "From now on your account uses this address.",
    button: "Confirm",
    asks: "password",
    done: "Your account uses this address now. You can close this page.",
    follow: (broker, link, { password }, actor) =>
      call(broker, authContract.confirmEmail, { ...link, ...(password !== undefined && { password }) }, actor),
  },
  {
    name: "undo-email",
    title: "Take the change of address back",
    question:
      "Your account keeps the address that this mail came to, and everybody who is signed in is signed out. " +
      "Whoever asked for the change knows your password, so please set a new one.",
    button: "Take it back",
    asks: "new password",
    done: "Your address is kept, your new password counts, and everybody was signed out.",
    follow: (broker, link, { new_password = "" }, actor) =>
      call(broker, authContract.undoEmail, { ...link, new_password }, actor),
  },
  {
    name: "reset-password",
    title: "Set a new password",
    question: "Everybody who is signed in to your account is signed out.",
    button: "Set password",
    asks: "new password",
    done: "Your new password counts. You can sign in with it now.",
    follow: (broker, { token }, { new_password = "" }, actor) =>
      call(broker, authContract.resetPassword, { token, new_password }, actor),
  },
];

const linkPath = (name: string): string => `/api/v1/users/:uidb64/${name}/:token/`;
const statuses = { GET: [200, 503], POST: [200, 400, 404, 413, 415, 429, 503] } as const;

/** For OpenAPI. */
export const linkPages: readonly Page[] = [
  {
    method: "POST",
    path: verifyRoute.path,
    summary: "The form of a mailed verification link.",
    statuses: statuses.POST,
    answers: "html",
  },
  ...buttonLinks.flatMap(({ name, title }): Page[] =>
    (["GET", "POST"] as const).map((method) => {
      const summary = method === "GET" ? `The page of a mailed link: ${title}.` : `Its form: ${title}.`;
      return { method, path: linkPath(name), summary, statuses: statuses[method], answers: "html" };
    }),
  ),
];

/**
 * Mailed links opened by a person. GET changes nothing, so that no mail scanner uses a link up: it shows a form, whose POST
 * does. A front end that asks for exactly JSON gets its answer from GET of the verification link, as from the original.
 */
export function serveLinkPages(server: FastifyInstance, deps: GatewayDeps, companyName: string): void {
  demandPermission(verifyRoute);
  const verifyByJson = handle(deps, verifyRoute);
  server.get(verifyRoute.path, async (request, reply) => {
    if (request.headers.accept === "application/json") return await verifyByJson(request, reply);
    const { actor } = await identify(deps.guard, request, "optional");
    return sendPage(reply, 200, formPage({ companyName, signedIn: actor.principal !== undefined }));
  });
  server.post(verifyRoute.path, { config: { form: true } }, async (request, reply) => {
    const { actor } = await identify(deps.guard, request, "optional");
    const params = { ...linkOf(request), ...passwordsOf(request) };
    return await sendOutcome(request, reply, call(deps.broker, authContract.verifyEmailByForm, params, actor), {
      companyName,
      secureCookies: deps.secureCookies,
      done: "Your e-mail address has been verified. You can close this page.",
      again: (text) => formPage({ companyName, signedIn: false, text }),
    });
  });

  for (const { name, follow, asks, ...texts } of buttonLinks) {
    const path = linkPath(name);
    const who = asks === "password" ? "optional" : "no";
    server.get(path, async (request, reply) => {
      const { actor } = await identify(deps.guard, request, who);
      return sendPage(reply, 200, buttonPage({ companyName, ...texts, asks: actor.principal ? "nothing" : asks }));
    });
    server.post(path, { config: { form: true } }, async (request, reply) => {
      const { actor } = await identify(deps.guard, request, who);
      return await sendOutcome(request, reply, follow(deps.broker, linkOf(request), passwordsOf(request), actor), {
        companyName,
        secureCookies: deps.secureCookies,
        done: texts.done,
        // Asked for again also where somebody is signed in with another account.
        again: (text) => buttonPage({ companyName, ...texts, asks, text }),
      });
    });
  }
}

interface Outcome {
  readonly companyName: string;
  readonly secureCookies: boolean;
  readonly done: string;
  /** The page to try again on, where what was typed is wrong and not the link. */
  readonly again: (text: string) => string;
}

async function sendOutcome(
  request: FastifyRequest,
  reply: FastifyReply,
  work: Promise<DeviceOnly>,
  outcome: Outcome,
): Promise<FastifyReply> {
  const { companyName, secureCookies, done, again } = outcome;
  try {
    const { device_id } = await work;
    // A page of somebody else may post a link of his own account: this browser's cookie is not his to replace.
    if (device_id !== undefined && request.isForeign !== true)
      reply.header("set-cookie", deviceCookie(device_id, secureCookies));
  } catch (error) {
    const type = errorType(error);
    if (type === "not_found" || type === "invalid_link") {
      const text = "This link is not valid, or it has been used.";
      return sendPage(reply, errorList[type].status, errorPage({ companyName, text }));
    }
    const { fields, retryAfterSeconds } = dataOf(error);
    if (type === "too_many_requests") {
      const text = errorList[type].detail;
      return sendPage(reply.header("retry-after", retryAfterSeconds), errorList[type].status, again(text));
    }
    if (type !== "invalid_input" || !fields) throw error;
    return sendPage(reply, 400, again(Object.values(fields).join(" ")));
  }
  return sendPage(reply, 200, donePage({ companyName, text: done }));
}

const sendPage = (reply: FastifyReply, status: number, html: string): FastifyReply =>
  reply.code(status).type("text/html; charset=utf-8").header("content-security-policy", pagePolicy).send(html);

interface Link {
  readonly user_reference: string;
  readonly token: string;
}

function linkOf(request: FastifyRequest): Link {
  const { uidb64, token } = request.params as { uidb64: string; token: string };
  return { user_reference: uidb64, token };
}

interface Passwords {
  readonly password?: string;
  readonly new_password?: string;
}

/** An empty field counts as left out. */
function passwordsOf(request: FastifyRequest): Passwords {
  const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
  const [password, newPassword] = [form.get("password"), form.get("new_password")];
  return { ...(password && { password }), ...(newPassword && { new_password: newPassword }) };
}

const dataOf = (error: unknown): Partial<ServiceError["data"]> =>
  error instanceof Error && "data" in error ? (error.data as ServiceError["data"]) : {};
