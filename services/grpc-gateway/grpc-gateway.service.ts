import type { ServiceSchema } from "moleculer";
import { call } from "../../lib/actions.ts";
import { system } from "../../lib/principal.ts";
import { createAccessGuard } from "../../mixins/access-guard/access-guard.ts";
import type { Metrics } from "../../mixins/metrics/metrics.ts";
import type { Node } from "../../mixins/node.ts";
import { authContract } from "../auth/auth.contract.ts";
import { getUserRole } from "./get-user-role.ts";
import { createGrpcServer, type GrpcServerOptions } from "./server.ts";

/** The door for the platform's other services. Holds no database connection. */
export default function grpcGatewayService(node: Node): ServiceSchema {
  const { config, broker, log } = node;
  const { guard, mixin } = createAccessGuard(node, {
    states: (of, timeout) => call(broker, authContract.accessStates, { of: [...of] }, system, { timeout }),
    changes: (seconds) => call(broker, authContract.accessChanges, { seconds }, system),
  });
  const options = { tls: config.grpc.tls, reflection: !config.production, onAnswer: measureCalls(node.metrics) };
  const server = createGrpcServer(getUserRole(guard, log), options);
  return {
    name: "grpc-gateway",
    mixins: [mixin],
    started: async () => {
      const port = await server.listen(config.grpc.host, config.grpc.port);
      log.info({ host: config.grpc.host, port }, `gRPC listens on ${config.grpc.host}:${port}`);
    },
    stopped: () => server.close(),
  };
}

function measureCalls(metrics: Metrics): NonNullable<GrpcServerOptions["onAnswer"]> {
  const answered = metrics.counter("identity_grpc_calls_total", "Calls of GetUserRole by status.", {
    status: ["OK", "INVALID_ARGUMENT", "UNAUTHENTICATED", "UNAVAILABLE"],
  });
  const times = metrics.histogram("identity_grpc_call_seconds", "Time that GetUserRole took.", {});
  return (status, seconds) => {
    answered.add(1, status);
    times.observe(seconds);
  };
}
