import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { call } from "../../lib/actions.ts";
import type { Sent } from "../../lib/contract.ts";
import { errorList, errorType } from "../../lib/errors.ts";
import { authContract } from "../auth/auth.contract.ts";
import { identify } from "./identify.ts";
import { errorPage, formPage, successPage } from "./pages.ts";
import { verifyRoute } from "./routes.ts";
import { pagePolicy } from "./security-headers.ts";
import { handle, type GatewayDeps } from "./serve-routes.ts";

type Link = { uidb64: string; token: string };

/**
 * A mailed link opened by a person. GET changes nothing, so that no mail scanner uses the link up: it shows a form, whose
 * POST does. A front end that asks for exactly JSON gets its answer from GET, as from the original.
 */
export function serveVerification(server: FastifyInstance, deps: GatewayDeps, companyName: string): void {
  const verifyByJson = handle(deps, verifyRoute);
  const sendPage = (reply: FastifyReply, status: number, html: string): FastifyReply =>
    reply.code(status).type("text/html; charset=utf-8").header("content-security-policy", pagePolicy).send(html);

  server.route({
    method: "GET",
    url: verifyRoute.path,
    handler: async (request, reply) => {
      if (request.headers.accept === "application/json") return await verifyByJson(request, reply);
      const { actor } = await identify(deps.guard, request, "optional");
      return sendPage(reply, 200, formPage({ companyName, signedIn: actor.principal !== undefined }));
    },
  });

  server.route({
    method: "POST",
    url: verifyRoute.path,
    config: { form: true },
    handler: async (request, reply) => {
      const { actor } = await identify(deps.guard, request, "optional");
      try {
        await call(deps.broker, authContract.verifyEmailByForm, formParams(request), actor);
      } catch (error) {
        const { status, text, final } = problemOf(error);
        const page = final ? errorPage({ companyName, text }) : formPage({ companyName, signedIn: false, text });
        return sendPage(reply, status, page);
      }
      return sendPage(reply, 200, successPage({ companyName }));
    },
  });
}

function formParams(request: FastifyRequest): Sent<typeof authContract.verifyEmailByForm> {
  const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
  const { uidb64, token } = request.params as Link;
  const [password, newPassword] = [form.get("password") ?? "", form.get("new_password") ?? ""];
  return {
    user_reference: uidb64,
    token,
    ...(password !== "" && { password }),
    ...(newPassword !== "" && { new_password: newPassword }),
  };
}

/** What the page says; `final` when trying again with another password would not help. Other errors are thrown on. */
function problemOf(error: unknown): { status: number; text: string; final: boolean } {
  const type = errorType(error);
  if (type === "not_found" || type === "invalid_link") {
    const status = errorList[type].status;
    return { status, text: "This link is not valid, or it has been used.", final: true };
  }
  const fields =
    error instanceof Error && "data" in error ? (error.data as { fields?: Record<string, string> }).fields : undefined;
  if (type === "invalid_input" && fields) {
    return { status: 400, text: Object.values(fields).join(" "), final: false };
  }
  throw error;
}
