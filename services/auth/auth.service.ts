import type { Context, ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { flushMs } from "../../mixins/audit/audit-buffer.ts";
import { findDearestImport } from "../../mixins/accounts/accounts.repository.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { accessChanges, accessStates } from "./access.ts";
import { authContract } from "./auth.contract.ts";
import { changePassword } from "./change-password.ts";
import { confirmEmail } from "./confirm-email.ts";
import { createModerator } from "./create-moderator.ts";
import { login } from "./login.ts";
import { logout } from "./logout.ts";
import { endOneSession, endOwnOtherSessions, endSessionsOf, listOwnSessions } from "./manage-sessions.ts";
import { openAuth } from "./open-auth.ts";
import { refresh } from "./refresh.ts";
import { register } from "./register.ts";
import { followUpResetRequest, requestPasswordReset } from "./request-password-reset.ts";
import { resetPassword } from "./reset-password.ts";
import { sendVerification } from "./send-verification.ts";
import { sweep } from "./sweep.repository.ts";
import { openCounters } from "./throttling/counters/open-counters.ts";
import { undoEmail } from "./undo-email.ts";
import { updateOwnAccount } from "./update-own-account.ts";
import { verifyEmail, verifyEmailByForm } from "./verify-email.ts";

/** In case a hint was lost. */
const resetPollMs = 2000;
const sweepMs = 10 * 60_000;
/** For so long after an import its accounts can be told by the time that a wrong password takes. */
const importsMs = 60_000;

/** The stories with credentials. The only service that ever sees a password. */
export default function authService(node: Node): ServiceSchema {
  const db = openServiceDatabase(node, "auth", 10);
  // Connections of their own: a flood of sign-ins must hold up neither the checks that every page waits for nor the loops.
  const checks = openServiceDatabase(node, "auth-checks", 3);
  const chores = openServiceDatabase(node, "auth-chores", 1);
  const deps = openAuth(node.config, db, openCounters(node.config, db, node.log), node.log, node.clock, chores);
  let resets: Loop | undefined;
  let sweeping: Loop | undefined;
  let refusals: Loop | undefined;
  let imports: Loop | undefined;
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
      confirmEmail: (input, actor) => confirmEmail(deps, input, actor),
      undoEmail: (input, actor) => undoEmail(deps, input, actor),
      changePassword: (input, actor) => changePassword(deps, input, actor),
      requestPasswordReset: (input, actor) => requestPasswordReset(deps, input, actor),
      resetPassword: (input, actor) => resetPassword(deps, input, actor),
      listSessions: (_, actor) => listOwnSessions(deps, actor),
      endSession: (input, actor) => endOneSession(deps, input, actor),
      endOtherSessions: (_, actor) => endOwnOtherSessions(deps, actor),
      endSessionsOf: (input, actor) => endSessionsOf(deps, input, actor),
      sendVerification: (_, actor) => sendVerification(deps, actor),
      verifyEmail: (input, actor) => verifyEmail(deps, input, actor),
      verifyEmailByForm: (input, actor) => verifyEmailByForm(deps, input, actor),
      health: async (): Promise<Health> => {
        await deps.db.query("select 1 from users limit 1");
        return { status: "ok" };
      },
      accessStates: ({ of }) => accessStates(checks, of),
      accessChanges: ({ seconds }) => accessChanges(checks, seconds),
    }),
    events: {
      "password-reset.requested": () => resets?.wake(),
      "request.abandoned": ({ params }: Context<{ call: string }>) => {
        deps.abandoned.add(params.call);
        deps.passwords.abandon(params.call);
      },
    },
    started: () => {
      resets = repeat("password resets", node.log, resetPollMs, () => followUpResetRequest({ ...deps, db: chores }));
      sweeping = repeat("sweeping", node.log, sweepMs, () => sweep(chores, node.config.auditRetention));
      imports = repeat("imported hashes", node.log, importsMs, async () => {
        deps.passwords.failAs(await findDearestImport(chores));
        return "done";
      });
      refusals = repeat("the audit log", node.log, flushMs, () => deps.refusals.flush());
    },
    stopped: async () => {
      await Promise.all([resets, sweeping, refusals, imports].map(async (loop) => loop?.stop()));
      // What cannot be written any more stands in the log.
      await deps.refusals.close().catch(() => undefined);
      await deps.passwords.close();
      deps.throttle.counters.close();
      await Promise.all([db, checks, chores].map((db) => db.close()));
    },
  };
}
