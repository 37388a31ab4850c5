import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { keyRing } from "../../lib/keys.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { accessState } from "./access-state.ts";
import { authContract } from "./auth.contract.ts";
import type { AuthDeps } from "./deps.ts";
import { login } from "./login.ts";
import { logout } from "./logout.ts";
import { createPasswords } from "./passwords.ts";
import { refresh } from "./refresh.ts";
import { createModerator, register } from "./register.ts";
import { sendVerification } from "./send-verification.ts";
import { verifyEmail, verifyEmailByForm } from "./verify-email.ts";

/** The stories with credentials. The only service that ever sees a password. */
export default function authService(node: Node): ServiceSchema {
  const { config, clock, log } = node;
  const deps: AuthDeps = {
    config,
    clock,
    db: openServiceDatabase(node, "auth", 10),
    passwords: createPasswords(config.password),
    keys: {
      access: keyRing(config.secrets, "access-token"),
      refresh: keyRing(config.secrets, "refresh-token"),
      oneTime: keyRing(config.secrets, "one-time-token"),
    },
    securityLog: createSecurityLog(log),
  };
  return {
    name: "auth",
    actions: implement(authContract, {
      register: (input, actor) => register(deps, input, actor),
      createModerator: (input, actor) => createModerator(deps, input, actor),
      login: (input, actor) => login(deps, input, actor),
      refresh: (input, actor) => refresh(deps, input, actor),
      logout: (input, actor) => logout(deps, input, actor),
      sendVerification: (_, actor) => sendVerification(deps, actor),
      verifyEmail: (input, actor) => verifyEmail(deps, input, actor),
      verifyEmailByForm: (input, actor) => verifyEmailByForm(deps, input, actor),
      health: async (): Promise<Health> => {
        await deps.db.query("select 1");
        return { status: "ok" };
      },
      accessState: (input) => accessState(deps, input),
    }),
    stopped: () => deps.db.close(),
  };
}
