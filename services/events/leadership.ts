import type { Database } from "../../mixins/database/database.ts";

type Client = ReturnType<Database["dedicatedClient"]>;

/** Any number that nothing else in this database uses. */
export const relayLockKey = 4_711_002;

export interface Leadership {
  /** Whether this process may relay now. Asked before every batch: the lock dies with its connection, unnoticed. */
  held(): Promise<boolean>;
  release(): Promise<void>;
}

/** One relay at a time per database: a session-level advisory lock on a connection of its own. */
export function seekLeadership(db: Database): Leadership {
  let client: Client | undefined;

  const drop = async (): Promise<void> => {
    const dropped = client;
    client = undefined;
    await dropped?.end().catch(() => undefined);
  };
  const connect = async (): Promise<Client> => {
    const fresh = db.dedicatedClient();
    // Without a listener a connection that breaks would end the process.
    fresh.on("error", () => void drop());
    await fresh.connect();
    return fresh;
  };

  return {
    async held() {
      try {
        client ??= await connect();
        // True again and again for the session that has it; each call adds one, so it is asked only without it.
        const { rows } = await client.query<{ held: boolean }>(
          `select exists (select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
             and objid = $1::int and granted) or pg_try_advisory_lock($1) as held`,
          [relayLockKey],
        );
        return rows[0]?.held === true;
      } catch (error) {
        await drop();
        throw error;
      }
    },
    release: drop,
  };
}
