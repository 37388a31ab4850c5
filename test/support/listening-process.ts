/** A node of listening-node.ts as a process of its own, so that it can be killed: `LISTEN_TO` names the topic. */
import { ledgerContract, startListeningNode } from "./listening-node.ts";

const { LISTEN_TO: topic = "", ...env } = process.env;
await startListeningNode(env as Record<string, string>, [{ topic, event: "OrderPlaced", action: ledgerContract.note }]);
