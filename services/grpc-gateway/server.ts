import { join } from "node:path";
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { HealthImplementation } from "grpc-health-check";
import { GrpcRefusal, type GetUserRoleRequest, type GetUserRoleResponse } from "./status.ts";

export interface GrpcServer {
  /** @returns the port that it listens on */
  listen(address: string): Promise<number>;
  /** Lets running calls finish, for at most five seconds. */
  close(): Promise<void>;
}

const serviceName = "roles.RolesService";
const maxRequestBytes = 16 * 1024;
const drainMs = 5000;
const minute = 60_000;

/** The only file that imports grpc-js: `getUserRole` behind the contract's proto, and standard health checking. */
export function createGrpcServer(
  getUserRole: (request: GetUserRoleRequest) => Promise<GetUserRoleResponse>,
): GrpcServer {
  const server = new Server({
    "grpc.max_receive_message_length": maxRequestBytes,
    "grpc.max_send_message_length": maxRequestBytes,
    "grpc.max_concurrent_streams": 1000,
    // Clients keep one channel for ever: reconnecting now and then spreads them over new nodes.
    "grpc.max_connection_age_ms": 30 * minute,
    "grpc.max_connection_age_grace_ms": minute,
    "grpc.keepalive_time_ms": minute,
    "grpc.keepalive_timeout_ms": 20_000,
  });
  const health = new HealthImplementation({ "": "SERVING", [serviceName]: "SERVING" });
  server.addService(rolesService(), { GetUserRole: unary(getUserRole) });
  health.addToServer(server);

  return {
    listen: (address) =>
      new Promise((resolve, reject) =>
        server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) =>
          error ? reject(error) : resolve(port),
        ),
      ),
    close: async () => {
      health.setStatus("", "NOT_SERVING");
      health.setStatus(serviceName, "NOT_SERVING");
      const force = setTimeout(() => server.forceShutdown(), drainMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(force);
    },
  };
}

function rolesService(): ServiceDefinition {
  // A field that was not sent is its default; enumerations stay numbers: nothing to look up on the way out.
  const definition = loadSync(join(import.meta.dirname, "../../protos/roles.proto"), {
    keepCase: true,
    defaults: true,
  });
  const { roles } = loadPackageDefinition(definition) as unknown as {
    roles: { RolesService: { service: ServiceDefinition } };
  };
  return roles.RolesService.service;
}

/** Errors that we know carry their status and text; of all others nothing is told. */
function unary<Request, Response>(handle: (request: Request) => Promise<Response>) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    handle(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => {
        const refusal = error instanceof GrpcRefusal ? error : new GrpcRefusal("UNAVAILABLE", "Try again later");
        callback({ code: status[refusal.status], details: refusal.message });
      },
    );
  };
}
