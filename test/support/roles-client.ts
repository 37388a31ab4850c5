import { join } from "node:path";
import {
  credentials,
  loadPackageDefinition,
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface RolesClient {
  readonly client: Client;
  /** As the platform's services call it: one channel, no deadline (unless one is given, in milliseconds from now). */
  getUserRole(accessToken: string, deadlineMs?: number): Promise<RoleAnswer>;
  close(): void;
}

export type RoleAnswer =
  | { readonly user_id: string; readonly role: string }
  /** `code` is the number of the status. */
  | { readonly code: number; readonly details: string };

/** A client made from the contract's proto, the way the callers make theirs. */
export function rolesClient(
  address: string,
  options: ChannelOptions = {},
  security: ChannelCredentials = credentials.createInsecure(),
): RolesClient {
  const proto = loadSync(join(import.meta.dirname, "../../protos/roles.proto"), { keepCase: true, enums: String });
  const { roles } = loadPackageDefinition(proto) as unknown as { roles: { RolesService: ServiceClientConstructor } };
  const client = new roles.RolesService(address, security, options);
  type Callback = (error: ServiceError | null, answer: RoleAnswer) => void;
  type Options = { deadline?: number };
  type Method = (request: { access_token: string }, options: Options, callback: Callback) => void;
  const method = client["GetUserRole"] as Method;
  return {
    client,
    getUserRole: (accessToken, deadlineMs) =>
      new Promise((resolve) => {
        const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
        method.call(client, { access_token: accessToken }, options, (error, answer) =>
          resolve(error ? { code: error.code, details: error.details } : answer),
        );
      }),
    close: () => client.close(),
  };
}
