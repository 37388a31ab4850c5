import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { accessState } from "./access-state.ts";
import { authContract } from "./auth.contract.ts";
import { login } from "./login.ts";
import { logout } from "./logout.ts";
import { followEmailLink } from "./follow-email-link.ts";
import { openAuth } from "./open-auth.ts";
import { refresh } from "./refresh.ts";
import { createModerator, register } from "./register.ts";
import { sendVerification } from "./send-verification.ts";
import { updateOwnAccount } from "./update-own-account.ts";
import { verifyEmail, verifyEmailByForm } from "./verify-email.ts";

/** The stories with credentials. The only service that ever sees a password. */
export default function authService(node: Node): ServiceSchema {
  const deps = openAuth(node.config, openServiceDatabase(node, "auth", 10), node.log, node.clock);
  return {
    name: "auth",
    actions: implement(authContract, {
      register: (input, actor) => register(deps, input, actor),
      createModerator: (input, actor) => createModerator(deps, input, actor),
      login: (input, actor) => login(deps, input, actor),
      refresh: (input, actor) => refresh(deps, input, actor),
      logout: (input, actor) => logout(deps, input, actor),
      replaceOwn: (input, actor) => updateOwnAccount(deps, input, actor),
      updateOwn: (input, actor) => updateOwnAccount(deps, input, actor),
      confirmEmail: (input, actor) => followEmailLink(deps, input, actor),
      sendVerification: (_, actor) => sendVerification(deps, actor),
      verifyEmail: (input, actor) => verifyEmail(deps, input, actor),
      verifyEmailByForm: (input, actor) => verifyEmailByForm(deps, input, actor),
      health: async (): Promise<Health> => {
        await deps.db.query("select 1 from users limit 1");
        return { status: "ok" };
      },
      accessState: (input) => accessState(deps, input),
    }),
    stopped: () => deps.db.close(),
  };
}
