import type { Log } from "../../lib/log.ts";
import type { Role } from "../../lib/roles.ts";
import type { Access, AccessGuard, AccessRefusal } from "../../mixins/access-guard/access-guard.ts";
import { Outage } from "./outage.ts";
import { GrpcRefusal, type GetUserRoleRequest, type GetUserRoleResponse } from "./status.ts";

/** `UserRole` of roles.proto. */
const roleNumbers: Readonly<Record<Role, number>> = { CU: 1, CO: 2, RM: 3, MO: 4 };
const refusals: Readonly<Record<AccessRefusal, () => GrpcRefusal>> = {
  invalid_token: () => new GrpcRefusal("INVALID_ARGUMENT", "Invalid access token"),
  session_ended: () => new GrpcRefusal("UNAUTHENTICATED", "Session has ended"),
  inactive_account: () => new GrpcRefusal("UNAUTHENTICATED", "User isn't active"),
};
/** The callers set no deadline, and every page of the platform waits for this. */
const deadlineMs = 900;

/**
 * Another service asks who a token belongs to. The callers take UNAUTHENTICATED for "anonymous", all else for an error.
 * Answers at once where nothing has to be waited for: a promise less is a tenth of the whole.
 */
export function getUserRole(guard: AccessGuard, log: Log) {
  const outage = new Outage(log);
  return (request: GetUserRoleRequest): GetUserRoleResponse | Promise<GetUserRoleResponse> => {
    if (request.access_token === "") throw new GrpcRefusal("INVALID_ARGUMENT", "Missing access token");
    const access = guard.check(request.access_token);
    if (!(access instanceof Promise)) return answer(access);
    return withinDeadline(access).then(
      (found) => {
        outage.answered();
        return answer(found);
      },
      (error: unknown) => {
        outage.refused(error);
        throw new GrpcRefusal("UNAVAILABLE", "Try again later");
      },
    );
  };
}

function answer(access: Access): GetUserRoleResponse {
  if (access.refusal !== undefined) throw refusals[access.refusal]();
  if (!access.principal.verified) throw new GrpcRefusal("UNAUTHENTICATED", "User has got unverified email");
  if (access.isStaff) throw new GrpcRefusal("UNAUTHENTICATED", "User is staff");
  return { user_id: String(access.principal.userId), role: roleNumbers[access.principal.role] };
}

async function withinDeadline(check: Promise<Access>): Promise<Access> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer in time")), deadlineMs);
  });
  try {
    return await Promise.race([check, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
