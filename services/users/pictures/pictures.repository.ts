import type { Sql } from "../../../mixins/database/database.ts";

/** The image paths that the profiles of these accounts name. */
export async function namedPictures(sql: Sql, userIds: readonly number[]): Promise<ReadonlySet<string>> {
  const rows = await sql.query<{ imagePath: string }>(
    `select image_path as "imagePath" from user_profiles where user_id = any($1::bigint[]) and image_path is not null`,
    [userIds],
  );
  return new Set(rows.map(({ imagePath }) => imagePath));
}
