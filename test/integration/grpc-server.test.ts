import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { connect as tlsConnect, type ConnectionOptions } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import {
  credentials,
  loadPackageDefinition,
  makeClientConstructor,
  status,
  type ChannelCredentials,
  type Client,
  type ClientReadableStream,
  type ServiceDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto } from "grpc-health-check";
import { signAccessToken, verifyAccessToken } from "../../lib/access-token.ts";
import { systemClock } from "../../lib/clock.ts";
import { keyRing } from "../../lib/keys.ts";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../services/grpc-gateway/server.ts";
import { createAuthority, type Authority, type Certificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { framesOf, openCall, preface, settings } from "../support/http2-frames.ts";
import { registration } from "../support/people.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { startService } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { memoryLog } from "../unit/helpers.ts";

const answer = { user_id: "7", role: "USER_ROLE_CUSTOMER" };
const unavailable = { code: status.UNAVAILABLE };
type Handler = Parameters<typeof createGrpcServer>[0];
const customer7: Handler = () => ({ user_id: "7", role: 1 });

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Serving {
  readonly server: GrpcServer;
  readonly port: number;
  readonly client: (security?: ChannelCredentials) => RolesClient;
}
async function serve(options: Partial<GrpcServerOptions> = {}, handle: Handler = customer7): Promise<Serving> {
  const server = createGrpcServer(handle, { tls: undefined, reflection: false, ...options });
  closing.push(() => server.close());
  const port = await server.listen("127.0.0.1", 0);
  const client = (security?: ChannelCredentials) => {
    // Connections of its own: grpc-js shares them between clients of one address.
    const options = { "grpc.use_local_subchannel_pool": 1, "grpc.ssl_target_name_override": "localhost" };
    const made = rolesClient(
      `127.0.0.1:${port}`,
      security ? options : { "grpc.use_local_subchannel_pool": 1 },
      security,
    );
    closing.unshift(() => made.close());
    return made;
  };
  return { server, port, client };
}
async function rawConnection(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  closing.unshift(() => socket.destroy());
  return socket;
}

describe("gRPC over TLS", () => {
  let authority: Authority;
  let stranger: Authority;
  let server: Certificate;
  beforeAll(async () => {
    [authority, stranger] = [await createAuthority(), await createAuthority("Another CA")];
    server = await authority.issue();
  });
  const trusting = ({ cert }: Authority, own?: Certificate) =>
    own
      ? credentials.createSsl(Buffer.from(cert), Buffer.from(own.key), Buffer.from(own.cert))
      : credentials.createSsl(Buffer.from(cert));

  test("a client that trusts our CA is served; plaintext and one with another CA are not, and the server goes on", async () => {
    const serving = await serve({ tls: { ...server, ca: undefined } });
    const good = serving.client(trusting(authority));
    expect(await good.getUserRole("token")).toEqual(answer);
    expect(await serving.client().getUserRole("token")).toMatchObject(unavailable);
    expect(await serving.client(trusting(stranger)).getUserRole("token")).toMatchObject(unavailable);
    expect(await good.getUserRole("token")).toEqual(answer);
    expect(await serving.client(trusting(authority)).getUserRole("token")).toEqual(answer);
  });

  test("mutual: only who shows a certificate of the CA is served", async () => {
    const serving = await serve({ tls: { ...server, ca: authority.cert } });
    const shows = (own?: Certificate) => serving.client(trusting(authority, own)).getUserRole("token");
    expect(await shows(await authority.issue("menu"))).toEqual(answer);
    expect(await shows()).toMatchObject(unavailable);
    expect(await shows(await stranger.issue("menu"))).toMatchObject(unavailable);
    expect(await serving.client().getUserRole("token")).toMatchObject(unavailable);
    expect(await shows(await authority.issue("order"))).toEqual(answer);
  });

  test("TLS 1.1: refused by the server; 1.2 and 1.3 are spoken", async () => {
    const { port } = await serve({ tls: { ...server, ca: undefined } });
    const speak = async (version: NonNullable<ConnectionOptions["minVersion"]>): Promise<string | null> => {
      const socket = tlsConnect({
        ...{ port, host: "127.0.0.1", servername: "localhost", ca: authority.cert, ALPNProtocols: ["h2"] },
        // This side must not be the one that refuses.
        ...{ minVersion: version, maxVersion: version, ciphers: "DEFAULT@SECLEVEL=0" },
      });
      closing.unshift(() => socket.destroy());
      await once(socket, "secureConnect");
      return socket.getProtocol();
    };
    await expect(speak("TLSv1.1")).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
    expect(await speak("TLSv1.2")).toBe("TLSv1.2");
    expect(await speak("TLSv1.3")).toBe("TLSv1.3");
  });

  test("a key of another certificate: it does not start, even if nobody had checked it before", async () => {
    const { key } = await authority.issue();
    const mismatched = createGrpcServer(customer7, {
      tls: { cert: server.cert, key, ca: undefined },
      reflection: false,
    });
    await expect(mismatched.listen("127.0.0.1", 0)).rejects.toThrow("key values mismatch");
  });
});

describe("gRPC reflection", () => {
  /** @returns the text in the answer's bytes, or the status. */
  async function ask({ client }: RolesClient, request: Buffer): Promise<string | number> {
    const bytes = (buffer: Buffer) => buffer;
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const stream = client.makeBidiStreamRequest<Buffer, Buffer>(path, bytes, bytes);
    return await new Promise((resolve) => {
      stream.on("data", (data: Buffer) => resolve(data.toString("latin1")));
      stream.on("error", (error: Error & { code?: number }) => resolve(error.code ?? -1));
      stream.end(request);
    });
  }
  const field = (number: number, text: string) =>
    Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)]);
  const listServices = field(7, "*");
  const fileOfRolesService = field(4, "roles.RolesService");

  test("asked for: the services, and the file of ours", async () => {
    const client = (await serve({ reflection: true })).client();
    expect(await ask(client, listServices)).toContain("roles.RolesService");
    expect(await ask(client, fileOfRolesService)).toMatch(/access_token[^]*USER_ROLE_RESTAURANT_MANAGER/);
  });

  test("not asked for, as in production: unimplemented", async () => {
    const client = (await serve()).client();
    for (const request of [listServices, fileOfRolesService]) {
      expect(await ask(client, request)).toBe(status.UNIMPLEMENTED);
    }
  });
});

describe("grpc.health.v1", () => {
  const definition = loadPackageDefinition(loadSync(healthProto, { keepCase: true, enums: String })) as unknown as {
    grpc: { health: { v1: { Health: { service: ServiceDefinition } } } };
  };
  type Call = (request: object, done: (error: ServiceError | null, answer: unknown) => void) => void;
  type Stream = (request: object) => ClientReadableStream<{ status: string }>;
  const Health = makeClientConstructor(definition.grpc.health.v1.Health.service, "Health");

  function healthOf(port: number) {
    const client: Client & Record<string, unknown> = new Health(`127.0.0.1:${port}`, credentials.createInsecure());
    closing.unshift(() => client.close());
    const call = (method: "Check" | "List", request: object) =>
      new Promise<unknown>((resolve) =>
        (client[method] as Call)(request, (error, found) => resolve(error ? [error.code, error.details] : found)),
      );
    const watch = (service: string) => {
      const seen: string[] = [];
      const stream = (client["Watch"] as Stream)({ service });
      stream
        .on("data", (data: { status: string }) => seen.push(data.status))
        .on("error", (error: Error) => seen.push(`error ${error.message}`));
      return { seen, stream, ended: new Promise((resolve) => stream.on("end", resolve)) };
    };
    for (const method of ["Check", "List", "Watch"]) client[method] = (client[method] as Call).bind(client);
    return { check: (service: string) => call("Check", { service }), list: () => call("List", {}), watch };
  }

  test("while it serves: every service, and none that it does not have", async () => {
    const health = healthOf((await serve()).port);
    for (const name of ["", "roles.RolesService"]) expect(await health.check(name)).toEqual({ status: "SERVING" });
    const serving = { status: "SERVING" };
    expect(await health.list()).toEqual({ statuses: { "": serving, "roles.RolesService": serving } });
    const unknown = [status.NOT_FOUND, "Unknown service"];
    expect(await health.check("x".repeat(16_000))).toEqual(unknown);
    expect(await health.check("__proto__")).toEqual(unknown);
  });

  test("while it stops: who watches is told before the connection ends, and does not hold it up", async () => {
    const { port, server } = await serve();
    const health = healthOf(port);
    const watches = ["", "roles.RolesService", "no.Service"].map((name) => health.watch(name));
    const cancelled = health.watch("");
    await eventually("all see how it stands", () =>
      [...watches, cancelled].every(({ seen }) => seen.length === 1) ? true : undefined,
    );
    cancelled.stream.cancel();
    const began = performance.now();
    await server.close();
    expect(performance.now() - began).toBeLessThan(2000);
    await Promise.all(watches.map(({ ended }) => ended));
    const change = ["SERVING", "NOT_SERVING"];
    expect(watches.map(({ seen }) => seen)).toEqual([change, change, ["SERVICE_UNKNOWN"]]);
  });
});

describe("gRPC: the graceful stop", () => {
  test("a running call gets its answer; new ones are refused; nothing of it is left", async () => {
    const [entered, released] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const { port, server, client } = await serve({}, async () => {
      entered.resolve(undefined);
      await released.promise;
      return { user_id: "7", role: 1 };
    });
    const running = client().getUserRole("token");
    await entered.promise;
    const closed = server.close();
    expect(await client().getUserRole("token")).toMatchObject(unavailable);
    released.resolve(undefined);
    expect(await running).toEqual(answer);
    await closed;
    const after = connect(port, "127.0.0.1");
    await expect(once(after, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("a peer that never ends a call or a TLS handshake: five and a half seconds at most", async () => {
    const certificate = await (await createAuthority()).issue();
    const [plain, secure] = [await serve(), await serve({ tls: { ...certificate, ca: undefined } })];
    const [endless, mute] = [await rawConnection(plain.port), await rawConnection(secure.port)];
    const received: Buffer[] = [];
    endless.on("data", (bytes) => received.push(bytes));
    endless.write(Buffer.concat([preface, settings(), openCall(1)]));
    mute.write(Buffer.from([0x16, 3, 1]));
    await eventually("the settings were taken", () => (framesOf(received).length >= 2 ? true : undefined));
    const ended = once(endless, "close");
    const timed = async (serving: Serving): Promise<number> => {
      const began = performance.now();
      await serving.server.close();
      return performance.now() - began;
    };
    const [plainMs, secureMs] = await Promise.all([timed(plain), timed(secure)]);
    expect(plainMs).toBeGreaterThan(4500);
    expect(Math.max(plainMs, secureMs)).toBeLessThan(5900);
    await ended;
  });

  test("closed twice, or never opened: no error", async () => {
    const { server } = await serve();
    await server.close();
    await server.close();
    await createGrpcServer(customer7, { tls: undefined, reflection: false }).close();
  });
});

describe("gRPC: where it listens", () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));
  if (!hasIpv6) process.stderr.write("NOT TESTED: gRPC on IPv6, this machine has no ::1\n");

  (hasIpv6 ? test : test.skip)("IPv6: served, and stopped like every other", async () => {
    const server = createGrpcServer(customer7, { tls: undefined, reflection: false });
    const port = await server.listen("::1", 0);
    const client = rolesClient(`[::1]:${port}`);
    expect(await client.getUserRole("token")).toEqual(answer);
    await server.close();
    client.close();
  });

  test("a port that is taken: the start fails", async () => {
    const { port } = await serve();
    const second = createGrpcServer(customer7, { tls: undefined, reflection: false });
    await expect(second.listen("127.0.0.1", port)).rejects.toThrow("EADDRINUSE");
    await second.close();
  });
});

describe("gRPC: deadlines, with the database black-holed", () => {
  test("who set one gets DEADLINE_EXCEEDED in time, others are served, and two lines tell of it all", async () => {
    const log = memoryLog();
    const direct = await startService();
    const proxy = await startTcpProxy({ host: direct.database.host, port: direct.database.port });
    const away = await startService({ PG_PORT: String(proxy.port) }, { log });
    const roles = rolesClient(away.grpcAddress);
    closing.push(
      () => roles.close(),
      () => away.stop(),
      () => proxy.stop(),
      () => direct.stop(),
    );
    const tokenOf = async () => {
      const person = away.client();
      expect((await person.post("/api/v1/users/customers/", registration())).status).toBe(201);
      return person.cookie("access_token") ?? "";
    };
    const [known, other] = [await tokenOf(), await tokenOf()];
    const unverified = { code: status.UNAUTHENTICATED };
    expect(await roles.getUserRole(known)).toMatchObject(unverified);
    proxy.blackhole();

    const began = performance.now();
    const waiting = Array.from({ length: 50 }, () => roles.getUserRole(other, 200));
    expect(await roles.getUserRole(known)).toMatchObject(unverified);
    expect(performance.now() - began).toBeLessThan(200);
    for (const late of await Promise.all(waiting)) expect(late).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    expect(performance.now() - began).toBeLessThan(600);
    expect(await roles.getUserRole(other)).toEqual({ code: status.UNAVAILABLE, details: "Try again later" });

    const told = () => log.lines.filter(({ message }) => /^roles can/.test(message));
    expect(told().map(({ level }) => level)).toEqual(["warn"]);
    await proxy.restore();
    // Of nobody: never remembered, so each call asks the database.
    const keys = keyRing(away.config.secrets, "access-token");
    const claims = verifyAccessToken(keys, systemClock, known);
    if (!claims) throw new Error("not a valid token");
    const nobodys = signAccessToken(keys, systemClock, 3600, { ...claims, userId: 2_000_000_000 });
    await eventually("it is over, by the log", async () => {
      await roles.getUserRole(nobodys);
      return told().length === 2 ? true : undefined;
    });
    expect(told()[1]).toMatchObject({ level: "info", message: "roles can be known again" });
    expect(Number(told()[1]?.fields["refused"])).toBeGreaterThanOrEqual(51);
  });
});
