import { isIPv6 } from "node:net";
import { join } from "node:path";
import {
  loadPackageDefinition,
  logVerbosity,
  Server,
  ServerCredentials,
  setLogVerbosity,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { loadSync, type PackageDefinition } from "@grpc/proto-loader";
import type { ServerTls } from "../../lib/tls-files.ts";
import { Health } from "./health.ts";
import { GrpcRefusal, type GetUserRoleRequest, type GetUserRoleResponse, type GrpcStatus } from "./status.ts";

export interface GrpcServer {
  /** @returns the port that it listens on; any free one when asked for 0 */
  listen(host: string, port: number): Promise<number>;
  /** Lets running calls finish, for at most five seconds. */
  close(): Promise<void>;
}

const serviceName = "roles.RolesService";
const maxRequestBytes = 16 * 1024;
const drainMs = 5000;
const minute = 60_000;

export interface GrpcServerOptions {
  /** Plaintext without it. */
  readonly tls: ServerTls | undefined;
  /** Whether the server describes itself to whoever asks (grpcurl). Never in production. */
  readonly reflection: boolean;
  /** Told of each call that was answered, however. */
  readonly onAnswer?: (status: GrpcStatus | "OK", seconds: number) => void;
}

// It prints each header that it cannot read to stderr, with its value: a line for every call of whoever likes, with what
// may be a secret. What it says of errors is in the errors as well.
setLogVerbosity(logVerbosity.NONE);

/** The only file that imports grpc-js: `getUserRole` behind the contract's proto, and standard health checking. */
export function createGrpcServer(
  getUserRole: (request: GetUserRoleRequest) => GetUserRoleResponse | Promise<GetUserRoleResponse>,
  options: GrpcServerOptions,
): GrpcServer {
  const server = new Server({
    "grpc.max_receive_message_length": maxRequestBytes,
    "grpc.max_send_message_length": maxRequestBytes,
    "grpc.max_concurrent_streams": 1000,
    // Megabytes of one connection; grpc-js takes any number without it.
    "grpc-node.max_session_memory": 32,
    // Statistics that nobody asks for, at some 4 % of a call.
    "grpc.enable_channelz": 0,
    // Clients keep one channel for ever: reconnecting now and then spreads them over new nodes.
    "grpc.max_connection_age_ms": 30 * minute,
    "grpc.max_connection_age_grace_ms": minute,
    "grpc.keepalive_time_ms": minute,
    "grpc.keepalive_timeout_ms": 20_000,
  });
  const health = new Health(["", serviceName]);
  const definition = loadDefinition();
  /** Where it listens, with the real port. */
  let bound: string | undefined;
  server.addService(rolesService(definition), { GetUserRole: unary(getUserRole, options.onAnswer) });
  server.addService(Health.service, health.handlers);

  return {
    listen: async (host, port) => {
      if (options.reflection) await describe(server, definition);
      const on = await new Promise<number>((resolve, reject) =>
        server.bindAsync(at(host, port), credentials(options), (error, on) => (error ? reject(error) : resolve(on))),
      );
      bound = at(host, on);
      return on;
    },
    close: async () => {
      health.stop();
      // Not forceShutdown: that finds connections by their channelz statistics alone.
      if (bound !== undefined) server.drain(bound, drainMs);
      // What `drain` does not know of: a connection that never ends its TLS handshake must not hold the stop up.
      const end = Promise.withResolvers<undefined>();
      const timer = setTimeout(() => end.resolve(undefined), drainMs + 500);
      server.tryShutdown(() => end.resolve(undefined));
      await end.promise;
      clearTimeout(timer);
    },
  };
}

/** Without brackets, an IPv6 address and a port cannot be told apart. */
const at = (host: string, port: number): string => `${isIPv6(host) ? `[${host}]` : host}:${port}`;

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
function unary<Request, Response>(
  handle: (request: Request) => Response | Promise<Response>,
  onAnswer: NonNullable<GrpcServerOptions["onAnswer"]> = () => undefined,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    const succeed = (response: Response): void => {
      callback(null, response);
      onAnswer("OK", seconds());
    };
    const fail = (error: unknown): void => {
      const refusal = error instanceof GrpcRefusal ? error : new GrpcRefusal("UNAVAILABLE", "Try again later");
      callback({ code: status[refusal.status], details: refusal.message });
      onAnswer(refusal.status, seconds());
    };
    try {
      const response = handle(call.request);
      if (response instanceof Promise) response.then(succeed, fail);
      else succeed(response);
    } catch (error) {
      fail(error);
    }
  };
}
