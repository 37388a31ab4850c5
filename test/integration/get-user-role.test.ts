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
import { signAccessToken, verifyAccessToken } from "../../lib/access-token.ts";
import { systemClock } from "../../lib/clock.ts";
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
  test("no token", async () => {
    expect(await roles.getUserRole("")).toEqual({ code: status.INVALID_ARGUMENT, details: "Missing access token" });
  });

  test.each(["x", "a.b.c", "null", "Bearer x", "é".repeat(100), "x".repeat(10_000)])(
    "malformed: %.20s",
    async (token) => {
      expect(await roles.getUserRole(token)).toEqual(invalid);
    },
  );

  test("signature changed", async () => {
    const { token } = await registerVerified();
    const [head = "", body = "", tag = ""] = token.split(".");
    const changed = (tag.startsWith("A") ? "B" : "A") + tag.slice(1);
    expect(await roles.getUserRole([head, body, changed].join("."))).toEqual(invalid);
  });

  test("expired", async () => {
    const { token } = await registerVerified();
    expect(await roles.getUserRole(resigned(token, { secondsAgo: 7200, ttl: 3600 }))).toEqual(invalid);
  });

  test("signed by us for another purpose", async () => {
    const { token } = await registerVerified();
    const claims = jwt.decode(token) as jwt.JwtPayload;
    const { object, id } = accessKeys().current;
    const other = jwt.sign({ ...claims, token_type: "refresh" }, object, { algorithm: "HS256", keyid: id });
    expect(await roles.getUserRole(other)).toEqual(invalid);
  });

  test("refresh token as access token", async () => {
    const { client } = await registerVerified();
    expect(await roles.getUserRole(client.cookie("refresh_token") ?? "")).toEqual(invalid);
  });

  test("unknown user", async () => {
    const { id, token } = await registerVerified();
    await service.query("delete from users where id = $1", [id]);
    expect(await roles.getUserRole(token)).toEqual(invalid);
  });

  test("signed out", async () => {
    const { client, token } = await registerVerified();
    expect((await client.post("/api/v1/tokens/clear/")).status).toBe(200);
    expect(await roles.getUserRole(token)).toEqual(unauthenticated("Session has ended"));
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

  test("request larger than 16 KB", async () => {
    const answer = await roles.getUserRole("x".repeat(16 * 1024 + 1));
    expect(answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expectNothingTold(answer);
    expect(await roles.getUserRole("")).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("unknown method", async () => {
    const answer = await new Promise<ServiceError | null>((resolve) =>
      roles.client.makeUnaryRequest(
        "/roles.RolesService/DeleteUser",
        () => Buffer.alloc(0),
        (bytes) => bytes,
        {},
        (error) => resolve(error),
      ),
    );
    expect(answer?.code).toBe(status.UNIMPLEMENTED);
    expectNothingTold(answer);
  });

  test("bytes that are no message: an error without a look inside", async () => {
    const answer = await new Promise<ServiceError | null>((resolve) =>
      roles.client.makeUnaryRequest(
        "/roles.RolesService/GetUserRole",
        () => Buffer.from([0x0a, 0xff, 0xff, 0xff]),
        (bytes) => bytes,
        {},
        (error) => resolve(error),
      ),
    );
    expect(answer).not.toBeNull();
    expectNothingTold(answer);
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

/** The same claims, signed at another time. */
function resigned(token: string, { secondsAgo, ttl }: { secondsAgo: number; ttl: number }): string {
  const claims = verifyAccessToken(accessKeys(), systemClock, token);
  if (!claims) throw new Error("not a valid token");
  return signAccessToken(accessKeys(), { now: () => Date.now() - secondsAgo * 1000 }, ttl, claims);
}

/** No stack, file, host or class name. */
function expectNothingTold(answer: unknown): void {
  const { details } = answer as { details: string };
  expect(details).not.toMatch(/\n|\bat \S+:\d|\.[jt]s\b|node_modules|Error:|127\.0\.0\.1/);
}
