import pg from "pg";
import { silentLog } from "../../lib/log.ts";
import { openDatabase } from "../../mixins/database/database.ts";
import { unpublished } from "../../services/events/outbox-queue.repository.ts";
import { holdBehindParked } from "../../services/events/outbox-upkeep.repository.ts";
import type { Figure, Row } from "../row.ts";
import { median } from "../support/measure.ts";
import { createStand } from "../support/service.ts";

const published = [0, 1000, 1_000_000];
const backlog = 100_000;
const held = 1000;
const samples = 30;
/** A batch of the relay. */
const limit = 300;

/** Reading a batch: what lies published in the table, waits behind it or is held must not make it slow. */
export const outboxQueue: Row = async (log) => {
  const stand = await createStand();
  const client = new pg.Client(stand.database);
  await client.connect();
  const db = openDatabase(stand.database, silentLog, { name: "bench", connections: 1 });
  const figures: Figure[] = [];
  const look = async (name: string): Promise<void> => {
    const times: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      const begin = performance.now();
      await unpublished(db, limit);
      times.push(performance.now() - begin);
    }
    log(`${name}: ${median(times).toFixed(1)} ms, most ${Math.max(...times).toFixed(1)} ms`);
    figures.push({ name: `read a batch: ${name}`, value: median(times), unit: "ms p50", atMost: 20 });
  };
  let users = 0;
  const append = async (rows: number, state: "null" | "now()"): Promise<void> => {
    const count = Math.max(1, rows / 100);
    await client.query(
      `insert into outbox (id, user_id, version, type, data, published_at)
       select gen_random_uuid(), u, v, 'user.profile_updated', '{"role": "CU", "full_name": "Zoë Łącka"}', ${state}
       from generate_series(1, 100) v, generate_series($1::int + 1, $1::int + $2::int) u order by v, u`,
      [users, count],
    );
    users += count;
  };
  try {
    for (const [index, count] of published.entries()) {
      if (count > 0) await append(count - (published[index - 1] ?? 0), "now()");
      await client.query("vacuum analyze outbox");
      await look(`${count} published, none waits`);
    }
    await append(backlog, "null");
    await look(`${backlog} wait`);
    await client.query(
      `update outbox set next_attempt_at = 'infinity', parked_at = now()
       where published_at is null and version = 1 and user_id > $1`,
      [users - held],
    );
    while ((await holdBehindParked(db)) === "more");
    await look(`${backlog} wait, all behind ${held} parked ones`);
    return figures;
  } finally {
    await db.close();
    await client.end();
    await stand.stop();
  }
};
