import type { ServiceSchema } from "moleculer";
import type { Health } from "../../lib/health.ts";
import { implement } from "../../lib/actions.ts";
import { keyRing } from "../../lib/keys.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { openServiceDatabase, type Node } from "../../mixins/node.ts";
import { mailDelivery } from "./deliver.ts";
import { measureMails } from "./mail-metrics.ts";
import { isOverdue } from "./mail-queue.repository.ts";
import { mailerContract } from "./mailer.contract.ts";
import { loadTemplates } from "./templates.ts";
import { createTransport } from "./transport.ts";

const pollMs = 1000;
/** A server that is back should not be waited for: one attempt in this time disturbs nobody. */
const maxPauseMs = 5000;
/** Beyond this mails come in faster than they go out. */
const overdueSeconds = 5 * 60;
/** Of the 15 s that a stop may take. What is cut off is sent again, with the same Message-ID. */
const stopGraceMs = 5000;

/** Sends what lies in the mail queue; never decides that something is sent. */
export default function mailerService(node: Node): ServiceSchema {
  const { config, log } = node;
  if (!config.mail) throw new Error("the service mailer needs an SMTP server");
  const db = openServiceDatabase(node, "mailer", 3);
  const transport = createTransport(config.mail, config.companyName);
  const keys = keyRing(config.secrets, "one-time-token");
  const metrics = measureMails(node.metrics, db);
  const deliverMails = mailDelivery({ config, log, db, keys, templates: loadTemplates(), transport, metrics });
  let loop: Loop | undefined;
  return {
    name: "mailer",
    actions: implement(mailerContract, {
      health: async (): Promise<Health> => {
        // That the database is away is told by a check of its own.
        const late = isOverdue(db, overdueSeconds).catch(() => false);
        const [isUp, isLate] = await Promise.all([transport.verify(), late]);
        return { status: isUp && !isLate ? "ok" : "degraded" };
      },
    }),
    events: { "mails.queued": () => loop?.wake() },
    started: () => {
      loop = repeat("mail delivery", log, pollMs, deliverMails, { maxPauseMs });
    },
    stopped: async () => {
      const grace = setTimeout(() => transport.close(), stopGraceMs);
      await loop?.stop();
      clearTimeout(grace);
      transport.close();
      await db.close();
    },
  };
}
