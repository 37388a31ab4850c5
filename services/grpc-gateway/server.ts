import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
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

export interface GrpcServerOptions {
  /** PEM; with `ca`, clients must show a certificate of it. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | undefined } | undefined;
  /** Whether the server describes itself to whoever asks (grpcurl). Never in production. */
  readonly reflection: boolean;
}

/** The only file that imports grpc-js: `getUserRole` behind the contract's proto, and standard health checking. */
export function createGrpcServer(
  getUserRole: (request: GetUserRoleRequest) => GetUserRoleResponse | Promise<GetUserRoleResponse>,
  options: GrpcServerOptions,
): GrpcServer {
  const server = new Server({
    "grpc.max_receive_message_length": maxRequestBytes,
    "grpc.max_send_message_length": maxRequestBytes,
    "grpc.max_concurrent_streams": 1000,
    // Statistics that nobody asks for, at some 4 % of a call.
    "grpc.enable_channelz": 0,
    // Clients keep one channel for ever: reconnecting now and then spreads them over new nodes.
    "grpc.max_connection_age_ms": 30 * minute,
    "grpc.max_connection_age_grace_ms": minute,
    "grpc.keepalive_time_ms": minute,
    "grpc.keepalive_timeout_ms": 20_000,
  });
  const health = new HealthImplementation({ "": "SERVING", [serviceName]: "SERVING" });
  const definition = loadDefinition();
  let bound: string | undefined;
  server.addService(rolesService(definition), { GetUserRole: unary(getUserRole) });
  health.addToServer(server);

  return {
    listen: async (address) => {
      if (options.reflection) await describe(server, definition);
      const port = await new Promise<number>((resolve, reject) =>
        server.bindAsync(address, credentials(options), (error, on) => (error ? reject(error) : resolve(on))),
      );
      bound = address.replace(/\d+$/, String(port));
      return port;
    },
    close: async () => {
      health.setStatus("", "NOT_SERVING");
      health.setStatus(serviceName, "NOT_SERVING");
      // Not forceShutdown: that finds connections by their channelz statistics alone.
      if (bound !== undefined) server.drain(bound, drainMs);
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      // A peer that never closes its side of a connection must not hold the stop up.
      await Promise.race([closed, sleep(drainMs + 500, undefined, { ref: false })]);
    },
  };
}

function credentials({ tls }: GrpcServerOptions): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const pair = { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) };
  const ca = tls.ca === undefined ? null : Buffer.from(tls.ca);
  return ServerCredentials.createSsl(ca, [pair], ca !== null);
}

async function describe(server: Server, definition: PackageDefinition): Promise<void> {
  // A development dependency.
  const { ReflectionService } = await import("@grpc/reflection");
  new ReflectionService(definition).addToServer(server);
}

/** A field that was not sent is its default; enumerations stay numbers: nothing to look up on the way out. */
const loadDefinition = (): PackageDefinition =>
  loadSync(join(import.meta.dirname, "../../protos/roles.proto"), { keepCase: true, defaults: true });

function rolesService(definition: PackageDefinition): ServiceDefinition {
  const { roles } = loadPackageDefinition(definition) as unknown as {
    roles: { RolesService: { service: ServiceDefinition } };
  };
  return roles.RolesService.service;
}

/** Errors that we know carry their status and text; of all others nothing is told. */
function unary<Request, Response>(handle: (request: Request) => Response | Promise<Response>) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    const fail = (error: unknown): void => {
      const refusal = error instanceof GrpcRefusal ? error : new GrpcRefusal("UNAVAILABLE", "Try again later");
      callback({ code: status[refusal.status], details: refusal.message });
    };
    try {
      const response = handle(call.request);
      if (response instanceof Promise) response.then((late) => callback(null, late), fail);
      else callback(null, response);
    } catch (error) {
      fail(error);
    }
  };
}
