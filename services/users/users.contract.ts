import { contract } from "../../lib/contract.ts";
import { fullViewRule } from "../../mixins/accounts/account.ts";

export const usersContract = contract("users", {
  current: {
    summary: "The signed-in account.",
    visibility: "published",
    auth: "required",
    params: {},
    returns: fullViewRule,
  },
});
