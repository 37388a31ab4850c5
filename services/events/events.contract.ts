import { contract } from "../../lib/contract.ts";
import { healthRule } from "../../lib/health.ts";

export const eventsContract = contract("events", {
  health: {
    summary: "Whether Kafka takes our events.",
    visibility: "public",
    auth: "internal",
    params: {},
    returns: healthRule,
  },
});
