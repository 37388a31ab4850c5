import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { createTestDatabase } from "./database.ts";

export interface SourceRow {
  readonly id?: number;
  readonly email: string;
  readonly password: string;
  readonly role: string;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
  readonly is_staff: boolean;
  readonly last_login: string | null;
  readonly date_joined: string;
  /** Null: made by an admin. */
  readonly profile: Partial<SourceProfile> | null;
}
interface SourceProfile {
  readonly first_name: string;
  readonly last_name: string;
  readonly phone: string;
  readonly birth_date: string;
  readonly image_url: string;
}

export interface DjangoSource {
  readonly url: string;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** A customer whom everybody would take over, but for what is given. @returns the id */
  add(changes: Partial<SourceRow> & { readonly email: string }): Promise<number>;
  drop(): Promise<void>;
}

/** A database with the original's tables, empty. */
export async function createDjangoSource(): Promise<DjangoSource> {
  const database = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: database.url, max: 2 });
  pool.on("error", () => undefined);
  await pool.query(await readFile(join(import.meta.dirname, "django-schema.sql"), "utf8"));
  const query = async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
    (await pool.query<Row>(text, values)).rows;
  return {
    url: database.url,
    query,
    add: async ({ id, profile, ...changes }) => {
      const user = {
        ...{ password: "!unusable", role: "CU", is_active: true, is_email_verified: true, is_staff: false },
        ...{ is_superuser: false, last_login: null, date_joined: "2024-05-08T12:00:00.123456Z", ...changes },
      };
      const [row] = await query<{ id: number }>(
        `insert into users_user select made.* from jsonb_populate_record(null::users_user,
           $1::jsonb || jsonb_build_object('id', coalesce($2::bigint, nextval('users_user_id_seq')))) made returning id`,
        [user, id],
      );
      if (!row) throw new Error("no row");
      if (profile === null) return row.id;
      const image_url = "https://storage.example.com/users/avatars/default_user_avatar.svg";
      const named = { first_name: "Anna", last_name: "Kowalska", phone: "+48512345678", birth_date: "1990-05-17" };
      await query("insert into users_userprofile select (jsonb_populate_record(null::users_userprofile, $1)).*", [
        { user_id: row.id, ...named, image_url, ...profile },
      ]);
      return row.id;
    },
    drop: async () => {
      await pool.end();
      await database.drop();
    },
  };
}
