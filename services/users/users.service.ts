import type { ServiceSchema } from "moleculer";
import { implement } from "../../lib/actions.ts";
import { keyRing } from "../../lib/keys.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import type { UsersDeps } from "./deps.ts";
import { listUsers } from "./list-users.ts";
import { moderateUser } from "./moderate-user.ts";
import { usersContract } from "./users.contract.ts";
import { currentUser, viewUser } from "./view-user.ts";

/** The stories without credentials: who the accounts are. Never sees a password or a hash. */
export default function usersService(node: Node): ServiceSchema {
  const { config, clock, log } = node;
  const deps: UsersDeps = {
    config,
    clock,
    db: openServiceDatabase(node, "users", 5),
    cursorKeys: keyRing(config.secrets, "cursor"),
    securityLog: createSecurityLog(log),
  };
  return {
    name: "users",
    actions: implement(usersContract, {
      current: (_, actor) => currentUser(deps, actor),
      view: ({ id }, actor) => viewUser(deps, id, actor),
      list: (query) => listUsers(deps, query),
      replace: (changes, actor) => moderateUser(deps, changes, actor),
      update: (changes, actor) => moderateUser(deps, changes, actor),
    }),
    stopped: () => deps.db.close(),
  };
}
