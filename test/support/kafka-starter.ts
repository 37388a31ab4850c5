import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startKafka, type RunningKafka } from "../../scripts/kafka/broker.ts";
import type { TestKafka } from "./kafka.ts";

/**
 * One real broker for all test files of a run. Jest's workers are processes of their own, so the process that runs
 * global-setup.ts starts it, at the first request of a worker: a run that needs no Kafka never starts one.
 * Not in kafka.ts, since "@jest/globals" throws when it is imported outside of a test.
 *
 * @returns what global-teardown.ts has to call
 */
export async function startKafkaForTests(): Promise<() => Promise<void>> {
  let broker: Promise<{ readonly kafka: RunningKafka; readonly dir: string }> | undefined;
  const start = async () => {
    const dir = await mkdtemp(join(tmpdir(), "identity-kafka-"));
    return { dir, kafka: await startKafka({ dir }) };
  };
  const server = createServer((_request, response) => {
    broker ??= start();
    broker.then(
      ({ kafka: { plaintext, sasl, user, password } }) =>
        response.end(JSON.stringify({ plaintext, sasl, user, password } satisfies TestKafka)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.env.TEST_KAFKA_STARTER = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return async () => {
    server.close();
    server.closeAllConnections();
    const started = await broker?.catch(() => undefined);
    await started?.kafka.stop();
    if (started) await rm(started.dir, { recursive: true, force: true });
  };
}
