import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { loadConfig, type Env } from "../../lib/config.ts";
import { connectKafka, type KafkaMessage, type KafkaPort, type ReceivedMessage } from "../../services/events/kafka.ts";
import { createAuthority, type Authority, type Certificate } from "../support/certificates.ts";
import { describeWithKafka, uniqueName } from "../support/kafka.ts";
import { startSecureKafka, type SecureKafka } from "../support/secure-kafka.ts";

const mechanisms = ["plain", "scram-sha-256", "scram-sha-512"] as const;
const deadlineMs = 8000;

describeWithKafka("kafka: TLS", () => {
  let kafka: SecureKafka;
  let folder: string;
  let authority: Authority;
  let client: Certificate;
  let stranger: Certificate;
  let open: KafkaPort[];
  let logged: string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "kafka-security-"));
    // By different names: OpenSSL would take one for the other, and send it along with our certificate.
    const [brokers, clients] = [await createAuthority("Brokers"), await createAuthority("Clients")];
    const others = await createAuthority("Others");
    authority = brokers;
    client = await clients.issue("identity");
    stranger = await others.issue("identity");
    const files = {
      "ca.crt": brokers.cert,
      "other-ca.crt": others.cert,
      "client.crt": client.cert,
      "client.key": client.key,
      "stranger.crt": stranger.cert,
      "stranger.key": stranger.key,
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    kafka = await startSecureKafka(await authority.issue(), clients.cert);
  }, 180_000);
  afterAll(async () => {
    await kafka.stop();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    open = [];
    logged = [];
  });
  afterEach(async () => {
    await Promise.all(open.map((port) => port.close()));
    const told = logged.join("");
    for (const secret of [kafka.password, "wrong-secret", client.key.slice(40, 80), stranger.key.slice(40, 80)]) {
      expect(told).not.toContain(secret);
    }
  });

  const path = (name: string) => join(folder, name);
  const withPassword = (changes: Env = {}): Env => ({
    KAFKA_BOOTSTRAP_SERVER_PORT: String(kafka.ports.saslTls),
    KAFKA_BROKER_USER: kafka.user,
    KAFKA_BROKER_PASSWORD: kafka.password,
    KAFKA_SSL: "True",
    KAFKA_SSL_CA: path("ca.crt"),
    ...changes,
  });
  const withCertificate = (name?: string, changes: Env = {}): Env => ({
    KAFKA_BOOTSTRAP_SERVER_PORT: String(kafka.ports.mutualTls),
    KAFKA_SSL: "True",
    KAFKA_SSL_CA: path("ca.crt"),
    ...(name !== undefined && { KAFKA_SSL_CERT: path(`${name}.crt`), KAFKA_SSL_KEY: path(`${name}.key`) }),
    ...changes,
  });

  /** As a node with this environment would connect. */
  function connect(env: Env): KafkaPort {
    const needed = { SECRET_KEY: "a-secret-key-for-tests-0123456789-abcdef", SERVICES: "events" };
    const database = { PG_HOST: "127.0.0.1", PG_DATABASE: "x", PG_USER: "x", PG_PASSWORD: "x" };
    const config = loadConfig({ ...needed, ...database, KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", ...env });
    if (!config.kafka) throw new Error("no Kafka is configured");
    const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(line) });
    const port = connectKafka(config.kafka, log, { deadlineMs });
    open.push(port);
    return port;
  }

  const message = (topic: string): KafkaMessage => ({
    topic,
    partition: 0,
    key: "CustomerCreatedEvent",
    value: '{"id":17}',
    headers: { ce_id: "1" },
  });

  async function sentAndReceived(port: KafkaPort): Promise<ReceivedMessage> {
    const topic = uniqueName("secured");
    await port.createTopics([{ topic, partitions: 1, replication: 1 }]);
    await port.publish([message(topic)]);
    const received = Promise.withResolvers<ReceivedMessage>();
    await port.subscribe({
      group: uniqueName("group"),
      topics: [topic],
      onMessage: (one) => {
        received.resolve(one);
        return Promise.resolve();
      },
    });
    return await received.promise;
  }

  describe("what fits: produces and consumes", () => {
    test.each(mechanisms)("%s over TLS, with the broker's authority", async (mechanism) => {
      const port = connect(withPassword({ KAFKA_SASL_MECHANISM: mechanism }));
      expect(await sentAndReceived(port)).toMatchObject({ value: '{"id":17}', headers: { ce_id: "1" } });
    });

    test("a client certificate instead of a password", async () => {
      expect(await sentAndReceived(connect(withCertificate("client")))).toMatchObject({ value: '{"id":17}' });
    });

    test("the broker's name instead of its address", async () => {
      const port = connect(withPassword({ KAFKA_BOOTSTRAP_SERVER_HOST: "localhost" }));
      expect(await sentAndReceived(port)).toMatchObject({ value: '{"id":17}' });
    });
  });

  describe("what does not fit: a clear reason within the deadline", () => {
    const refused = async (env: Env, expected: { code: unknown; message: RegExp }) => {
      const started = performance.now();
      await expect(connect(env).publish([message("secured")])).rejects.toMatchObject({
        name: "KafkaError",
        code: expected.code,
        message: expect.stringMatching(expected.message),
      });
      expect(performance.now() - started).toBeLessThan(deadlineMs + 500);
    };

    test.each(mechanisms)("a wrong password, %s", async (mechanism) => {
      const env = withPassword({ KAFKA_SASL_MECHANISM: mechanism, KAFKA_BROKER_PASSWORD: "wrong-secret" });
      await refused(env, { code: "authentication", message: /authentication/i });
    });

    test("another authority than the broker's", async () => {
      const env = withPassword({ KAFKA_SSL_CA: path("other-ca.crt") });
      await refused(env, { code: "unreachable", message: /certificate/ });
    });

    test("no authority of our own, and the broker's is not a public one", async () => {
      const env = withPassword({ KAFKA_SSL_CA: "" });
      await refused(env, { code: "unreachable", message: /certificate/ });
    });

    /** Refused by us, before it says a word: nothing else of a broker is needed. */
    async function brokerWith(certificate: Certificate): Promise<{ readonly port: string; close(): void }> {
      const server = createServer(certificate).on("tlsClientError", () => undefined);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return { port: String((server.address() as AddressInfo).port), close: () => server.close() };
    }
    test.each<[string, RegExp, { host?: string; expired?: boolean }]>([
      ["for another host", /does not match certificate's altnames/, { host: "kafka.example.com" }],
      ["that has expired", /certificate has expired/, { expired: true }],
    ])("a broker's certificate %s", async (_, message, options) => {
      const broker = await brokerWith(await authority.issue("localhost", options));
      await refused(withPassword({ KAFKA_BOOTSTRAP_SERVER_PORT: broker.port }), { code: "unreachable", message });
      broker.close();
    });

    test("a broker that asks for a certificate, and we show none", async () => {
      await refused(withCertificate(), { code: "unreachable", message: /certificate required|bad certificate|alert/ });
    });

    test("a certificate of an authority that the broker does not know", async () => {
      await refused(withCertificate("stranger"), { code: "unreachable", message: /alert|certificate/ });
    });

    test("TLS to a door without it", async () => {
      const env = withPassword({ KAFKA_BOOTSTRAP_SERVER_PORT: String(kafka.ports.sasl) });
      await refused(env, { code: expect.stringMatching(/unreachable|deadline/), message: /\w/ });
    });

    test("no TLS to a door with it", async () => {
      const env = withPassword({ KAFKA_SSL: "False", KAFKA_SSL_CA: "" });
      await refused(env, { code: expect.stringMatching(/unreachable|deadline/), message: /\w/ });
    });
  });
});
