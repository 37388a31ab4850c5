import { freePort } from "./ports.ts";
import { startProcess, type ServiceProcess } from "./process.ts";
import { rolesClient, type RolesClient } from "./roles-client.ts";

/** A whole service in a process of its own, one of several on one database. */
export interface TestNode {
  readonly url: string;
  readonly roles: RolesClient;
  readonly process: ServiceProcess;
  /** SIGTERM. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** @param options.imports modules that are loaded before main.ts (`node --import`) */
export async function startNodes(
  count: number,
  env: Readonly<Record<string, string>>,
  options: { imports?: readonly string[] } = {},
): Promise<TestNode[]> {
  return await Promise.all(Array.from({ length: count }, () => startOne(env, options)));
}

async function startOne(env: Readonly<Record<string, string>>, options: { imports?: readonly string[] }) {
  const [web, grpc] = [await freePort(), await freePort()];
  const own = {
    SERVICES: "auth,users,grpc-gateway,api-gateway",
    WEB_APP_PORT: String(web),
    GRPC_SERVER_PORT: String(grpc),
  };
  const process = startProcess({ ...env, ...own }, options);
  await process.ready();
  const roles = rolesClient(`127.0.0.1:${grpc}`);
  const ended = (how: () => Promise<void>) => async () => {
    roles.close();
    await how();
  };
  return {
    url: `http://127.0.0.1:${web}`,
    roles,
    process,
    stop: ended(() => process.stop()),
    kill: ended(() => process.kill()),
  };
}
