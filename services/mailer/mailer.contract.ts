import { contract } from "../../lib/contract.ts";
import { healthRule } from "../../lib/health.ts";

export const mailerContract = contract("mailer", {
  health: {
    summary: "Whether the SMTP server answers, and mails go out in time.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: healthRule,
  },
});
