import pg from "pg";

/**
 * What the service's own role may do where another one owns the tables: everything with rows, and nothing with tables. The
 * audit log it may read and add to; number and time of a row are the database's. Run after every migration, so that new
 * tables are included.
 */
export async function grantService(client: pg.ClientBase, user: string): Promise<void> {
  const role = pg.escapeIdentifier(user);
  const statements = [
    `grant usage on schema public to ${role}`,
    `grant select, insert, update, delete on all tables in schema public to ${role}`,
    `grant usage, select, update on all sequences in schema public to ${role}`,
    `revoke insert, update, delete on migrations from ${role}`,
    `revoke all on audit_log, audit_log_id_seq from ${role}`,
    `grant select on audit_log to ${role}`,
    `grant insert (event, outcome, actor_id, subject_id, ip, user_agent, request_id, details) on audit_log to ${role}`,
    `grant execute on function purge_audit_log to ${role}`,
  ];
  for (const statement of statements) await client.query(statement);
}
