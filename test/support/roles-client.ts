import { join } from "node:path";
import {
  credentials,
  loadPackageDefinition,
  type ChannelOptions,
  type Client,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface RolesClient {
  readonly client: Client;
  /** As the platform's services call it: one channel, no deadline. */
  getUserRole(accessToken: string): Promise<RoleAnswer>;
  close(): void;
}

export type RoleAnswer =
  | { readonly user_id: string; readonly role: string }
  /** `code` is the number of the status. */
  | { readonly code: number; readonly details: string };

/** A client made from the contract's proto, the way the callers make theirs. */
export function rolesClient(address: string, options: ChannelOptions = {}): RolesClient {
  const proto = loadSync(join(import.meta.dirname, "../../protos/roles.proto"), { keepCase: true, enums: String });
  const { roles } = loadPackageDefinition(proto) as unknown as { roles: { RolesService: ServiceClientConstructor } };
  const client = new roles.RolesService(address, credentials.createInsecure(), options);
  type Callback = (error: ServiceError | null, answer: RoleAnswer) => void;
  const method = client["GetUserRole"] as (request: { access_token: string }, callback: Callback) => void;
  return {
    client,
    getUserRole: (accessToken) =>
      new Promise((resolve) =>
        method.call(client, { access_token: accessToken }, (error, answer) =>
          resolve(error ? { code: error.code, details: error.details } : answer),
        ),
      ),
    close: () => client.close(),
  };
}
