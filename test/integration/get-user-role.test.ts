import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import {
  credentials,
  loadPackageDefinition,
  makeClientConstructor,
  status,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto, service as healthService } from "grpc-health-check";
import jwt from "jsonwebtoken";
import { keyRing } from "../../lib/keys.ts";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { registration } from "../support/people.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { linkIn, startService, type TestService } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

let service: TestService;
let roles: RolesClient;

beforeAll(async () => {
  service = await startService();
  roles = rolesClient(service.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await service.stop();
});

interface Person {
  readonly id: number;
  readonly client: Client;
  /** An access token. */
  readonly token: string;
}

async function register(on: TestService, path = "customers"): Promise<Person> {
  const client = on.client();
  const answer = await client.post(`/api/v1/users/${path}/`, registration());
  expect(answer.status).toBe(201);
  return { id: Number(answer.json()["id"]), client, token: client.cookie("access_token") ?? "" };
}

async function registerVerified(on: TestService = service, path?: string): Promise<Person> {
  const person = await register(on, path);
  await on.query("update users set is_email_verified = true where id = $1", [person.id]);
  return person;
}

const invalid = { code: status.INVALID_ARGUMENT, details: "Invalid access token" };
const unauthenticated = (details: string) => ({ code: status.UNAUTHENTICATED, details });
const unavailable = { code: status.UNAVAILABLE, details: "Try again later" };

describe("GetUserRole: who it is", () => {
  test.each([
    ["customers", "USER_ROLE_CUSTOMER"],
    ["couriers", "USER_ROLE_COURIER"],
    ["managers", "USER_ROLE_RESTAURANT_MANAGER"],
  ])("one of the %s, verified by the mailed link: id and role", async (path, role) => {
    const client = service.client();
    const body = registration();
    const { id } = (await client.post(`/api/v1/users/${path}/`, body)).json();
    await client.get(linkIn(await service.mailTo(body.email)), { headers: { accept: "application/json" } });
    expect(await roles.getUserRole(client.cookie("access_token") ?? "")).toEqual({ user_id: String(id), role });
  });

  test("moderator: the role as it is now, not as it was when the token was made", async () => {
    const { id, token } = await registerVerified();
    await service.query("update users set role = 'MO' where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual({ user_id: String(id), role: "USER_ROLE_MODERATOR" });
  });
});

describe("GetUserRole: refused, with exactly the contract's words", () => {
  test("signed by us for another purpose", async () => {
    const { token } = await registerVerified();
    const claims = jwt.decode(token) as jwt.JwtPayload;
    const { object, id } = accessKeys().current;
    const other = jwt.sign({ ...claims, token_type: "refresh" }, object, { algorithm: "HS256", keyid: id });
    expect(await roles.getUserRole(other)).toEqual(invalid);
  });

  test("unknown user", async () => {
    const { id, token } = await registerVerified();
    await service.query("delete from users where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual(invalid);
  });

  test("all sessions ended, as a change of the password does", async () => {
    const { id, token } = await registerVerified();
    await service.query("update users set session_epoch = session_epoch + 1 where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual(unauthenticated("Session has ended"));
  });

  test("not active", async () => {
    const { id, token } = await registerVerified();
    await service.query("update users set is_active = false where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual(unauthenticated("User isn't active"));
  });

  test("e-mail not verified", async () => {
    const { token } = await register(service);
    expect(await roles.getUserRole(token)).toEqual(unauthenticated("User has got unverified email"));
  });

  test("staff account", async () => {
    const { id, token } = await registerVerified();
    await service.query("update users set is_staff = true where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual(unauthenticated("User is staff"));
  });
});

describe("GetUserRole: the database away", () => {
  let proxy: TcpProxy;
  let away: TestService;
  let client: RolesClient;

  beforeEach(async () => {
    proxy = await startTcpProxy({ host: service.database.host, port: service.database.port });
    away = await startService({ PG_PORT: String(proxy.port) });
    client = rolesClient(away.grpcAddress);
  });
  afterEach(async () => {
    client.close();
    await away.stop();
    await proxy.stop();
  });

  test.each(["refuse", "blackhole"] as const)(
    "%s: who is known is served, of others it is unavailable within a second, and well again after",
    async (how) => {
      const [known, other] = [await register(away), await register(away)];
      expect(await client.getUserRole(known.token)).toEqual(unauthenticated("User has got unverified email"));
      await proxy[how]();
      for (let call = 0; call < 3; call++) {
        const began = performance.now();
        const answer = await client.getUserRole(other.token);
        expect(performance.now() - began).toBeLessThan(1000);
        expect(answer).toEqual(unavailable);
        expect(await client.getUserRole(known.token)).toEqual(unauthenticated("User has got unverified email"));
      }
      await proxy.restore();
      await eventually("it is known again", async () => {
        const answer = await client.getUserRole(other.token);
        return "details" in answer && answer.details === "User has got unverified email" ? true : undefined;
      });
    },
  );
});

describe("grpc.health.v1", () => {
  const definition = loadPackageDefinition(loadSync(healthProto, { keepCase: true, enums: String })) as unknown as {
    grpc: { health: { v1: { Health: { service: ServiceDefinition } } } };
  };
  const check = (name: string) =>
    new Promise<unknown>((resolve) => {
      const Health = makeClientConstructor(definition.grpc.health.v1.Health.service, "Health");
      const health = new Health(service.grpcAddress, credentials.createInsecure());
      type Method = (request: { service: string }, done: (error: ServiceError | null, answer: unknown) => void) => void;
      (health["Check"] as Method).call(health, { service: name }, (error, answer) => {
        health.close();
        resolve(error ? error.code : answer);
      });
    });

  test.each(["", "roles.RolesService"])('Check of "%s": serving', async (name) => {
    expect(Object.keys(healthService)).toContain("Check");
    expect(await check(name)).toEqual({ status: "SERVING" });
  });

  test("Check of an unknown service: not found", async () => {
    expect(await check("roles.Other")).toBe(status.NOT_FOUND);
  });
});

const accessKeys = () => keyRing(service.config.secrets, "access-token");
