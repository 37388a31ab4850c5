/** The least that a gRPC server in Node can do: grpc-js, the contract's proto, and always the same answer. */
import { join } from "node:path";
import { loadPackageDefinition, Server, ServerCredentials, type sendUnaryData } from "@grpc/grpc-js";
import type { ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const proto = loadSync(join(import.meta.dirname, "../../protos/roles.proto"), { keepCase: true, defaults: true });
const { roles } = loadPackageDefinition(proto) as unknown as { roles: { RolesService: ServiceClientConstructor } };
const server = new Server();
server.addService(roles.RolesService.service, {
  GetUserRole: (_: unknown, callback: sendUnaryData<object>) => callback(null, { user_id: "1", role: 1 }),
});
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ ready: `127.0.0.1:${port}` });
});
