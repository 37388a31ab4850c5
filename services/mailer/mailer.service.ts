import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { keyRing } from "../../lib/keys.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { deliverMails, type MailerDeps } from "./deliver.ts";
import { mailerContract } from "./mailer.contract.ts";
import { loadTemplates } from "./templates.ts";
import { createTransport } from "./transport.ts";

const pollMs = 2000;

/** Sends what lies in the mail queue; never decides that something is sent. */
export default function mailerService(node: Node): ServiceSchema {
  const { config, log } = node;
  if (!config.mail) throw new Error("the service mailer needs an SMTP server");
  const deps: MailerDeps = {
    config,
    log,
    db: openServiceDatabase(node, "mailer", 3),
    keys: keyRing(config.secrets, "one-time-token"),
    templates: loadTemplates(),
    transport: createTransport(config.mail, config.companyName),
  };
  let loop: Loop | undefined;
  return {
    name: "mailer",
    actions: implement(mailerContract, {
      health: async (): Promise<Health> => ({ status: (await deps.transport.verify()) ? "ok" : "degraded" }),
    }),
    events: { "mails.queued": () => loop?.wake() },
    started: () => {
      loop = repeat("mail delivery", log, pollMs, () => deliverMails(deps));
    },
    stopped: async () => {
      await loop?.stop();
      deps.transport.close();
      await deps.db.close();
    },
  };
}
