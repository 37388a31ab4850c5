import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  freeKafkaPorts,
  newClusterId,
  startKafka,
  type KafkaPorts,
  type RunningKafka,
} from "../../scripts/kafka/broker.ts";
import type { TestKafka } from "./kafka.ts";

export interface KafkaCluster {
  /** `sasl` names all brokers. */
  readonly kafka: TestKafka;
  /** Broker `n` ends as by a power cut. @param n from 0 */
  kill(n: number): Promise<void>;
  /** It comes back with what it had. */
  start(n: number): Promise<void>;
  stop(): Promise<void>;
}

const brokers = 3;
/** Three of the size of one. */
const heapMb = 256;

/** Three brokers on loopback; a topic with three copies takes writes while two of them live. */
export async function startKafkaCluster(): Promise<KafkaCluster> {
  const dir = await mkdtemp(join(tmpdir(), "identity-kafka-cluster-"));
  const ports: KafkaPorts[] = [];
  for (let n = 0; n < brokers; n++) ports.push(await freeKafkaPorts());
  const voters = ports.map(({ controller }, n) => `${n + 1}@127.0.0.1:${controller}`).join();
  const credentials = { user: "identity", password: randomBytes(18).toString("base64url") };
  const common = { voters, clusterId: newClusterId(), replication: brokers, minInSync: 2 };
  const running: (RunningKafka | undefined)[] = [];

  const start = async (n: number): Promise<void> => {
    const own = { dir: join(dir, String(n)), member: { ...common, nodeId: n + 1 }, heapMb, credentials };
    const at = ports[n];
    running[n] = await startKafka({ ...own, ...(at && { ports: at }) });
  };
  const kill = async (n: number): Promise<void> => {
    running[n]?.kill();
    await running[n]?.exited;
    running[n] = undefined;
  };
  await Promise.all(ports.map((_, n) => start(n)));
  const all = (listener: "plaintext" | "sasl") => ports.map((port) => `127.0.0.1:${port[listener]}`).join();
  return {
    kafka: { plaintext: all("plaintext"), sasl: all("sasl"), ...credentials },
    kill,
    start,
    stop: async () => {
      await Promise.all(ports.map((_, n) => kill(n)));
      await rm(dir, { recursive: true, force: true });
    },
  };
}
