import type { ServiceSchema } from "moleculer";
import { implement } from "../../lib/actions.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { currentUser } from "./current-user.ts";
import { usersContract } from "./users.contract.ts";

/** The stories without credentials: who the accounts are. Never sees a password or a hash. */
export default function usersService(node: Node): ServiceSchema {
  const { config, clock } = node;
  const deps = { config, clock, db: openServiceDatabase(node, "users", 5) };
  return {
    name: "users",
    actions: implement(usersContract, {
      current: (_, actor) => currentUser(deps, actor),
    }),
    stopped: () => deps.db.close(),
  };
}
