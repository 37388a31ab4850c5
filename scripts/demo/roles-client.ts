import { join } from "node:path";
import { credentials, loadPackageDefinition, status, type Client, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** Asks by gRPC as the platform's other services do. */
export interface RolesClient {
  /** @returns `[user id, role]`, or `[status, details]` of a refusal */
  getUserRole(accessToken: string): Promise<readonly [string, string]>;
  close(): void;
}

interface Reply {
  readonly user_id: string;
  readonly role: string;
}
type GetUserRole = (
  request: { access_token: string },
  options: { deadline: number },
  callback: (error: ServiceError | null, reply?: Reply) => void,
) => void;

const answerWithinMs = 3000;

export function openRolesClient(address: string): RolesClient {
  const proto = loadSync(join(import.meta.dirname, "../../protos/roles.proto"), { keepCase: true, enums: String });
  const { roles } = loadPackageDefinition(proto) as unknown as {
    roles: {
      RolesService: new (...args: ConstructorParameters<typeof Client>) => Client & { GetUserRole: GetUserRole };
    };
  };
  const client = new roles.RolesService(address, credentials.createInsecure());
  return {
    close: () => client.close(),
    getUserRole: (accessToken) =>
      new Promise((resolve) => {
        client.GetUserRole({ access_token: accessToken }, { deadline: Date.now() + answerWithinMs }, (error, reply) =>
          resolve(error ? [status[error.code], error.details] : [reply?.user_id ?? "", reply?.role ?? ""]),
        );
      }),
  };
}
