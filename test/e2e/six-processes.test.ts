import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { serviceNames, type ServiceName } from "../../lib/config.ts";
import { silentLog } from "../../lib/log.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { kafkaForTests, describeWithKafka, type TestKafka } from "../support/kafka.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { contractTopics, idsOf, kafkaEnv, reserveIds, watchTopics, type TopicWatch } from "../support/oracle.ts";
import { password, registration } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { rolesClient, type RolesClient } from "../support/roles-client.ts";
import { createStand, linkIn, type TestStand } from "../support/service.ts";

const json = { headers: { accept: "application/json" } };

describeWithNats("six processes, one service each", () => {
  describeWithKafka("over NATS, with Kafka", () => {
    let nats: RunningNats;
    let stand: TestStand;
    let watch: TopicWatch;
    let roles: RolesClient;
    let processes: Map<ServiceName, ServiceProcess>;

    const start = async (name: ServiceName): Promise<void> => {
      const running = startProcess({ ...stand.env, SERVICES: name });
      processes.set(name, running);
      await running.ready();
    };
    const logsOf = (name: ServiceName) => processes.get(name)?.logs() ?? [];

    beforeAll(async () => {
      const kafka = await kafkaForTests();
      nats = await startNats();
      stand = await createStand({
        NODE_ENV: "production",
        PASSWORD_HASH_COST: "10",
        TRANSPORTER: nats.url,
        ...kafkaEnv(kafka),
      });
      await createContractTopics(kafka);
      watch = await watchTopics(kafka, await reserveIds(stand));
      roles = rolesClient(stand.grpcAddress);
      processes = new Map();
      await Promise.all(serviceNames.map(start));
      await allReady();
    }, 180_000);

    afterAll(async () => {
      roles.close();
      await watch.stop();
      const stopped = await Promise.allSettled([...processes.values()].map((running) => running.stop()));
      await stand.stop();
      await nats.stop();
      expect(stopped.filter(({ status: how }) => how === "rejected")).toEqual([]);
    }, 60_000);

    const allReady = () =>
      eventually("all services have found each other", async () => {
        const { status: code, text } = await stand.client().get("/health/ready");
        return code === 200 && (JSON.parse(text) as { status: string }).status === "ok" ? true : undefined;
      });

    /** Registers and verifies a customer. */
    const newCustomer = async (): Promise<{ client: Client; id: number; email: string }> => {
      const client = stand.client();
      const body = registration();
      const registered = await client.post("/api/v1/users/customers/", body);
      expect([registered.status, registered.text]).toEqual([201, expect.stringContaining(body.email)]);
      const mail = await stand.mailTo(body.email);
      expect((await client.get(linkIn(mail), json)).status).toBe(200);
      return { client, id: Number(registered.json()["id"]), email: body.email };
    };

    test.each([
      ["customers", "CU", "USER_ROLE_CUSTOMER", "CustomerCreatedEvent", ["user_order", "user_review"]],
      ["couriers", "CO", "USER_ROLE_COURIER", "CourierCreatedEvent", ["user_order", "user_review"]],
      [
        "managers",
        "RM",
        "USER_ROLE_RESTAURANT_MANAGER",
        "RestaurantManagerCreatedEvent",
        ["user_restaurant", "user_menu", "user_order"],
      ],
    ])("%s: the whole story", async (path, role, grpcRole, event, topics) => {
      const body = registration();
      const registering = stand.client();
      const registered = await registering.post(`/api/v1/users/${path}/`, body);
      expect(registered.status).toBe(201);
      const id = Number(registered.json()["id"]);
      expect(await roleOf(roles, registering.cookie("access_token") ?? "")).toEqual({
        code: status.UNAUTHENTICATED,
        details: "User has got unverified email",
      });

      const mail = await stand.mailTo(body.email);
      const verified = await stand.client().get(linkIn(mail), json);
      expect([verified.status, verified.json()]).toEqual([200, { detail: "Email has been successfully verified" }]);

      const client = stand.client();
      expect((await client.post("/api/v1/tokens/", { email: body.email, password })).status).toBe(200);
      const current = await client.get("/api/v1/users/current/");
      expect([current.status, current.json()]).toEqual([
        200,
        expect.objectContaining({ id, email: body.email, role, is_email_verified: true }),
      ]);
      expect(await roleOf(roles, client.cookie("access_token") ?? "")).toEqual({
        user_id: String(id),
        role: grpcRole,
      });

      await eventually("both changes are in Kafka", () =>
        idsOf(watch.ofUser(id, "user_events")).length === 2 ? true : undefined,
      );
      await watch.caughtUp();
      for (const topic of topics) expect(watch.ofUser(id, topic).map(({ key }) => key)).toEqual([event]);
      const platformTopics = new Set(watch.ofUser(id).map(({ topic }) => topic));
      platformTopics.delete("user_events");
      expect([...platformTopics].toSorted()).toEqual(topics.toSorted());

      expect((await client.post("/api/v1/tokens/refresh/")).status).toBe(200);
      const access = client.cookie("access_token") ?? "";
      expect(await roleOf(roles, access)).toEqual({ user_id: String(id), role: grpcRole });
      expect((await client.post("/api/v1/tokens/clear/")).status).toBe(200);
      expect([...client.cookies.values()].map(({ name }) => name)).toEqual(["device_id"]);
      expect(await roleOf(roles, access)).toEqual({ code: status.UNAUTHENTICATED, details: "Session has ended" });
    });

    test("one request: its id stands in the logs of the gateway and of auth", async () => {
      const requestId = `e2e-${Date.now()}`;
      const answer = await stand
        .client()
        .post("/api/v1/users/customers/", registration(), { headers: { "x-request-id": requestId } });
      expect([answer.status, answer.headers.get("x-request-id")]).toEqual([201, requestId]);
      for (const [name, event] of [
        ["api-gateway", "http_request"],
        ["auth", "user_created"],
      ] as const) {
        const line = await eventually(`${name} has logged it`, () =>
          logsOf(name).find((logged) => logged["request_id"] === requestId),
        );
        expect(line).toMatchObject({ event });
      }
    });

    test("auth killed: who is known goes on, all else is told in time, and all is well after its return", async () => {
      const { client, id } = await newCustomer();
      const stranger = await newCustomer();
      const known = client.cookie("access_token") ?? "";
      const unknown = stranger.client.cookie("access_token") ?? "";
      expect(await roleOf(roles, known)).toMatchObject({ user_id: String(id) });
      expect((await client.get("/api/v1/users/current/")).status).toBe(200);
      const signIn = () => client.post("/api/v1/tokens/", { email: "nobody@example.com", password });
      await processes.get("auth")?.kill();

      try {
        // At once, when the others have not noticed yet, and again when they have.
        for (const round of ["at once", "later"]) {
          const rest = await timed(signIn);
          expect([round, rest.answer.status, rest.answer.json()]).toEqual([
            round,
            503,
            { detail: "Try again later.", code: "unavailable" },
          ]);
          expect(Number(rest.answer.headers.get("retry-after"))).toBeGreaterThan(0);
          expect(rest.ms).toBeLessThan(3000);
          expect((await client.get("/api/v1/users/current/")).status).toBe(200);
          expect(await roles.getUserRole(known)).toMatchObject({ user_id: String(id) });
          const grpc = await timed(() => roles.getUserRole(unknown));
          expect(grpc.answer).toEqual({ code: status.UNAVAILABLE, details: "Try again later" });
          expect(grpc.ms).toBeLessThan(1000);
        }
      } finally {
        await start("auth");
        // Until the others have forgotten the dead one, every other call still goes to it.
        let inARow = 0;
        await eventually(
          "auth answers every call again",
          async () => {
            inARow = (await signIn()).status === 401 ? inARow + 1 : 0;
            return inARow === 5 ? true : undefined;
          },
          40_000,
        );
        expect(await roleOf(roles, unknown)).toMatchObject({ user_id: String(stranger.id) });
        await allReady();
      }
    }, 90_000);
  });
});

/** "Try again later" is an answer as well: on a busy machine a call may miss its deadline of a second, and callers ask again. */
async function roleOf(roles: RolesClient, token: string): ReturnType<RolesClient["getUserRole"]> {
  return await eventually("an answer other than UNAVAILABLE", async () => {
    const answer = await roles.getUserRole(token);
    return "details" in answer && answer.details === "Try again later" ? undefined : answer;
  });
}

async function timed<T>(work: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const start = performance.now();
  const answer = await work();
  return { answer, ms: performance.now() - start };
}

async function createContractTopics(kafka: TestKafka): Promise<void> {
  const { sasl, user, password: secret } = kafka;
  const settings = { brokers: [sasl], user, password: secret, mechanism: "plain" as const, ssl: undefined };
  const port = connectKafka(settings, silentLog);
  await port.createTopics(contractTopics.map((topic) => ({ topic, partitions: 3, replication: 1 })));
  await port.close();
}
