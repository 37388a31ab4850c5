import type { ServiceSchema } from "moleculer";
import { call } from "../../lib/actions.ts";
import { system } from "../../lib/principal.ts";
import { createAccessGuard } from "../../mixins/access-guard.ts";
import type { Node } from "../../mixins/node.ts";
import { authContract } from "../auth/auth.contract.ts";
import { getUserRole } from "./get-user-role.ts";
import { createGrpcServer } from "./server.ts";

/** The door for the platform's other services. Holds no database connection. */
export default function grpcGatewayService(node: Node): ServiceSchema {
  const { config, broker, log } = node;
  const guard = createAccessGuard(node, (user_id, session_id) =>
    call(broker, authContract.accessState, { user_id, session_id }, system),
  );
  const server = createGrpcServer(getUserRole(guard, log));
  return {
    name: "grpc-gateway",
    started: async () => {
      const port = await server.listen(`${config.grpc.host}:${config.grpc.port}`);
      log.info({ host: config.grpc.host, port }, `gRPC listens on ${config.grpc.host}:${port}`);
    },
    stopped: () => server.close(),
  };
}
