import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { status, type ServiceError } from "@grpc/grpc-js";
import { signAccessToken, verifyAccessToken } from "../../lib/access-token.ts";
import { systemClock } from "../../lib/clock.ts";
import { keyRing } from "../../lib/keys.ts";
import { mailedLink, signUp, tokenOf, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { residentMegabytes } from "../support/memory.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** SECURITY.md, 73: GetUserRole as anybody may ask it who reaches the port. Frames that no client sends: test/faults/grpc-clients.test.ts. */
let stand: TestStand;
let proxy: TcpProxy;
let running: ServiceProcess;
let roles: RolesClient;
beforeAll(async () => {
  stand = await createStand({ SERVICES: "auth,users,grpc-gateway,api-gateway,mailer" });
  proxy = await startTcpProxy({ host: stand.env["PG_HOST"] ?? "", port: Number(stand.env["PG_PORT"]) });
  const production = { NODE_ENV: "production", PASSWORD_HASH_COST: "10" };
  running = startProcess({ ...stand.env, ...production, PG_HOST: "127.0.0.1", PG_PORT: String(proxy.port) });
  await running.ready();
  roles = rolesClient(stand.grpcAddress);
});
afterAll(async () => {
  roles.close();
  await running.stop();
  await proxy.stop();
  await stand.stop();
});

const someone = () => signUp(stand, "CU", { verified: true });
const invalid = { code: status.INVALID_ARGUMENT, details: "Invalid access token" };
const ended = { code: status.UNAUTHENTICATED, details: "Session has ended" };
const unavailable = { code: status.UNAVAILABLE, details: "Try again later" };
const accessKeys = () => keyRing({ current: stand.env["SECRET_KEY"] ?? "", previous: undefined }, "access-token");

/** The same claims, signed at another time. */
function signedAgo({ token }: Person, seconds: number, ttl: number): string {
  const claims = verifyAccessToken(accessKeys(), systemClock, token);
  if (!claims) throw new Error("not a valid token");
  return signAccessToken(accessKeys(), { now: () => Date.now() - seconds * 1000 }, ttl, claims);
}
/** One of its three parts with another letter at its beginning. */
function tampered({ token }: Person, part: 0 | 1 | 2): string {
  const parts = token.split(".");
  const text = parts[part] ?? "";
  parts[part] = `${text.slice(0, 5)}${text[5] === "A" ? "B" : "A"}${text.slice(6)}`;
  return parts.join(".");
}

describe("73 GetUserRole: refused with exactly the contract's words", () => {
  test("no token", async () => {
    const missing = { code: status.INVALID_ARGUMENT, details: "Missing access token" };
    expect(await roles.getUserRole("")).toEqual(missing);
  });

  test("malformed", async () => {
    const texts = ["x", " ", "a.b.c", "..", ".....", "null", "undefined", "Bearer x", "\0", "é".repeat(100)];
    for (const token of [...texts, "x".repeat(10_000)]) expect(await roles.getUserRole(token)).toEqual(invalid);
  });

  test("tampered with, in each of its parts; doubled; with something before or behind", async () => {
    const person = await someone();
    const { token } = person;
    const texts = [tampered(person, 0), tampered(person, 1), tampered(person, 2), `${token}${token}`, `${token}=`];
    for (const text of [
      ...texts,
      ` ${token}`,
      `${token}\n`,
      `Bearer ${token}`,
      token.toUpperCase(),
      token.slice(0, -1),
    ]) {
      expect(await roles.getUserRole(text)).toEqual(invalid);
    }
    expect(await roles.getUserRole(token)).toMatchObject({ user_id: String(person.id) });
  });

  test("expired a second ago, an hour ago, and not yet", async () => {
    const person = await someone();
    expect(await roles.getUserRole(signedAgo(person, 3601, 3600))).toEqual(invalid);
    expect(await roles.getUserRole(signedAgo(person, 7200, 3600))).toEqual(invalid);
    expect(await roles.getUserRole(signedAgo(person, 3500, 3600))).toMatchObject({ role: "USER_ROLE_CUSTOMER" });
  });

  test("revoked: signed out, while others ask with the same token", async () => {
    const { client, token } = await someone();
    const meanwhile = Array.from({ length: 20 }, () => roles.getUserRole(token));
    expect((await client.post("/api/v1/tokens/clear/")).status).toBe(200);
    for (let nth = 0; nth < 5; nth++) expect(await roles.getUserRole(token)).toEqual(ended);
    for (const answer of await Promise.all(meanwhile)) {
      if ("code" in answer) expect(answer).toEqual(ended);
    }
  });

  test("a token of another kind: the refresh token, the device's, one of a mailed link", async () => {
    const { client, email } = await someone();
    await client.post("/api/v1/users/password-reset/", { email });
    const link = tokenOf(await mailedLink(stand, "reset-password", email));
    for (const token of [client.cookie("refresh_token"), client.cookie("device_id"), link]) {
      expect(token?.length).toBeGreaterThan(40);
      expect(await roles.getUserRole(token ?? "")).toEqual(invalid);
    }
  });
});

describe("73 GetUserRole: more than it takes", () => {
  test.each([
    ["16 KB and a byte", 16 * 1024 + 1],
    ["5 MB", 5_000_000],
  ])("a token of %s: RESOURCE_EXHAUSTED at once, and nothing of the service is told", async (_, length) => {
    const began = performance.now();
    const answer = await roles.getUserRole("x".repeat(length));
    expect(answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expectNothingTold(answer);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(await roles.getUserRole("")).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test("5 MB a hundred times, twenty at once: it keeps none of them, and others are answered meanwhile", async () => {
    const { token } = await someone();
    const huge = "x".repeat(5_000_000);
    const before = await residentMegabytes(running.pid);
    for (let nth = 0; nth < 5; nth++) {
      const many = Promise.all(Array.from({ length: 20 }, () => roles.getUserRole(huge)));
      const other = rolesClient(stand.grpcAddress);
      expect(await other.getUserRole(token)).toMatchObject({ role: "USER_ROLE_CUSTOMER" });
      other.close();
      for (const answer of await many) expect(answer).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    }
    expect((await residentMegabytes(running.pid)) - before).toBeLessThan(150);
  });
});

describe("73 gRPC: what is not offered", () => {
  /** One message to a method by its name. */
  const ask = (method: string, message = Buffer.from([0x0a, 1, 65])) =>
    new Promise<ServiceError | null>((resolve) =>
      roles.client.makeUnaryRequest(
        method,
        () => message,
        (bytes) => bytes,
        {},
        (error) => resolve(error),
      ),
    );

  test.each([
    "/roles.RolesService/DeleteUser",
    "/roles.RolesService/getUserRole",
    "/roles.RolesService/GetUserRole/",
    "/roles.rolesservice/GetUserRole",
    "/RolesService/GetUserRole",
    "/auth/login",
    "/$node/services",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/admin",
  ])("%s, in production: UNIMPLEMENTED", async (method) => {
    const answer = await ask(method);
    expect(answer?.code).toBe(status.UNIMPLEMENTED);
    expectNothingTold(answer);
  });

  test("bytes that are no message: an error without a look inside", async () => {
    const answer = await ask("/roles.RolesService/GetUserRole", Buffer.from([0x0a, 0xff, 0xff, 0xff]));
    expect(answer?.code).toBe(status.INTERNAL);
    expectNothingTold(answer);
  });
});

test("73 no deadline, and PostgreSQL says nothing: whoever is not known is told so within a second, then all is well", async () => {
  const people = [await someone(), await someone(), await someone()];
  proxy.blackhole();
  const began = performance.now();
  const answers = await Promise.all(people.map(({ token }) => roles.getUserRole(token)));
  expect(performance.now() - began).toBeLessThan(1500);
  expect(answers).toEqual([unavailable, unavailable, unavailable]);
  expect(await roles.getUserRole("a.b.c")).toEqual(invalid);
  await proxy.restore();
  for (const { token, id } of people) {
    await eventually("it is known", async () => {
      const answer = await roles.getUserRole(token);
      return "user_id" in answer && answer.user_id === String(id) ? true : undefined;
    });
  }
});

/** No stack, file, host or class name. */
function expectNothingTold(answer: unknown): void {
  const { details } = answer as { details: string };
  expect(details).not.toMatch(/\n|\bat \S+:\d|\.[jt]s\b|node_modules|Error:|127\.0\.0\.1/);
}
