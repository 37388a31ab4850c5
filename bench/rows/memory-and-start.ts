import { serviceNames } from "../../lib/config.ts";
import { freePort } from "../../test/support/ports.ts";
import type { Row } from "../row.ts";
import { median } from "../support/measure.ts";
import { createStand, startNode } from "../support/service.ts";

const starts = 5;
const idleMs = 10_000;

/** One node with all six services as in production: how long it takes to be ready, and what it holds when nobody asks. */
export const memoryAndStart: Row = async (log) => {
  const stand = await createStand();
  // Nothing lies in the outbox, so Kafka is not called: it need not be there, but has to be configured.
  const kafka = { KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: String(await freePort()) };
  const env = { SERVICES: serviceNames.join(), ...kafka };
  try {
    const times: number[] = [];
    const sizes: number[] = [];
    for (let start = 0; start < starts; start++) {
      const node = await startNode(stand, env, { anyCore: true });
      await new Promise((resolve) => setTimeout(resolve, idleMs));
      const { rss } = await node.usage();
      log(`ready after ${node.startMs.toFixed(0)} ms, ${rss.toFixed(0)} MB after ${idleMs / 1000} idle seconds`);
      times.push(node.startMs);
      sizes.push(rss);
      await node.stop();
    }
    return [
      { name: "memory, idle", value: median(sizes), unit: "MB RSS", atMost: 200 },
      { name: "memory, idle, most", value: Math.max(...sizes), unit: "MB RSS" },
      { name: "start to ready", value: median(times), unit: "ms", atMost: 1500 },
      { name: "start to ready, longest", value: Math.max(...times), unit: "ms" },
    ];
  } finally {
    await stand.stop();
  }
};
