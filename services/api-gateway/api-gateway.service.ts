import type { ServiceSchema } from "moleculer";
import { call } from "../../lib/actions.ts";
import { system } from "../../lib/principal.ts";
import { repeat, type Loop } from "../../lib/repeat.ts";
import { createSecurityLog } from "../../lib/security-log.ts";
import { createAccessGuard } from "../../mixins/access-guard/access-guard.ts";
import { flushMs } from "../../mixins/audit/audit-buffer.ts";
import type { Node } from "../../mixins/node.ts";
import { authContract } from "../auth/auth.contract.ts";
import { eventsContract } from "../events/events.contract.ts";
import { mailerContract } from "../mailer/mailer.contract.ts";
import { usersContract } from "../users/users.contract.ts";
import { serveDocs } from "./docs-page.ts";
import { healthPages, serveHealth, type Check, type Status } from "./health.ts";
import { serveMailbox } from "./mailbox.ts";
import { serveMedia } from "./media.ts";
import { openApiDocument } from "./openapi.ts";
import { openRefusals } from "./report-refusals.ts";
import { routes, verifyRoute } from "./routes.ts";
import { measureRequests } from "./request-metrics.ts";
import { createServer, recordRoutes, refuseOtherMethods } from "./server.ts";
import { serveRoutes } from "./serve-routes.ts";
import { createUploads } from "./uploads.ts";
import { linkPages, serveLinkPages } from "./link-pages.ts";

/** The door for browsers and apps. Holds no business rule and no database connection. */
export default function apiGatewayService(node: Node): ServiceSchema {
  const { config, broker, log } = node;
  const { guard, mixin } = createAccessGuard(node, {
    states: (of, timeout) => call(broker, authContract.accessStates, { of: [...of] }, system, { timeout }),
    changes: (seconds) => call(broker, authContract.accessChanges, { seconds }, system),
  });
  const refusals = openRefusals(createSecurityLog(log), (reported) =>
    call(broker, usersContract.appendRefusals, reported, system),
  );
  let reporting: Loop | undefined;
  const deps = { broker, guard, secureCookies: config.web.secureCookies, uploads: createUploads(), refusals };
  const server = createServer(config, log, refusals);
  const served = recordRoutes(server);
  serveRoutes(server, deps, routes);
  serveLinkPages(server, deps, config.companyName);
  serveDocs(server, openApiDocument([...routes, verifyRoute], [...linkPages, ...healthPages], config.publicUrl));
  serveMedia(server, deps);
  serveHealth(server, checks(node));
  if (!config.production) serveMailbox(server, config.dataDir);
  // Once those are there that have a scope of their own.
  server.after(() => {
    const routes = [...served];
    measureRequests(server, node.metrics, routes);
    refuseOtherMethods(server, routes);
  });

  return {
    name: "api-gateway",
    mixins: [mixin],
    started: async () => {
      const address = await server.listen({ host: config.web.host, port: config.web.port });
      log.info({ address }, `HTTP listens on ${address}`);
      reporting = repeat("reporting refusals", log, flushMs, () => refusals.flush());
    },
    stopped: async () => {
      // Fastify closes what is idle now; a connection that is busy now would stay open, idle, for keepAliveTimeout.
      const closing = setInterval(() => server.server.closeIdleConnections(), 100);
      // One that sends its body a byte a second would hold the stop up for ever.
      const cutting = setTimeout(() => server.server.closeAllConnections(), drainMs);
      await server.close();
      clearInterval(closing);
      clearTimeout(cutting);
      await reporting?.stop();
      // What cannot be written any more stands in the log.
      await refusals.close().catch(() => undefined);
    },
  };
}

const drainMs = 5000;
/** A probe wants an answer while a dependency has none. */
const healthTimeoutMs = 1500;

/** Without the database nothing works; everything else only waits. */
function checks({ broker, config }: Node): Record<string, Check> {
  type HealthAction = (
    typeof authContract | typeof eventsContract | typeof mailerContract | typeof usersContract
  )["health"];
  const ask = async (action: HealthAction, otherwise: Status): Promise<Status> => {
    const answer = call(broker, action, {}, system, { timeout: healthTimeoutMs });
    const health = await answer.catch(() => ({ status: otherwise }));
    return health.status;
  };
  return {
    database: () => ask(authContract.health, "down"),
    kafka: () => ask(eventsContract.health, "degraded"),
    smtp: () => ask(mailerContract.health, "degraded"),
    ...(config.redisUrl !== undefined && { redis: () => ask(usersContract.health, "degraded") }),
    ...(config.transporter !== undefined && {
      transporter: () => Promise.resolve(broker.transit?.connected && broker.transit.tx.connected ? "ok" : "degraded"),
    }),
  };
}
