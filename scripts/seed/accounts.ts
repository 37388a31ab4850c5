import pg from "pg";
import { asOwner, type Migrated } from "../../mixins/database/migrate.ts";

const batch = 100_000;
const firstNames = [
  "Anna",
  "Bartek",
  "Chloé",
  "Darya",
  "Émile",
  "Fatma",
  "Grzegorz",
  "Hélène",
  "Ivan",
  "Jürgen",
  "Katarzyna",
  "Łukasz",
];
const lastNames = [
  "Kowalska",
  "Nowak",
  "Müller",
  "Dąbrowski",
  "Garcia",
  "Öztürk",
  "Ivanova",
  "O'Neil",
  "Schmidt",
  "Żak",
];

/** Accounts that cannot sign in (their hash is none), spread over roles, names, phones and states; the statistics are fresh. */
export async function seedAccounts(database: Migrated, users: number): Promise<void> {
  const client = new pg.Client({ ...asOwner(database), statement_timeout: 0 });
  await client.connect();
  try {
    for (let done = 0; done < users; done += batch) await insertBatch(client, Math.min(batch, users - done));
    await client.query("vacuum analyze users, user_profiles, search_terms");
  } finally {
    await client.end();
  }
}

async function insertBatch(client: pg.Client, count: number): Promise<void> {
  await client.query("begin");
  // A row at a time the trigger takes longer than everything else: here its work is part of the statement.
  await client.query("alter table user_profiles disable trigger profiles_search_terms");
  await client.query(
    `with made as (
       insert into users (email, email_canonical, password_hash, role, roles_held, is_active, is_email_verified, version)
       select email, email, 'none', role, array[role], random() > 0.01, random() > 0.05, 1
       from (select substr(md5(n::text || random()), 1, 16) || '@example.com' as email,
               (array['CU','CU','CU','CU','CU','CU','CU','CU','CO','RM'])[1 + floor(random() * 10)::int] as role
             from generate_series(1, $1::int) n) drawn
       returning id, email_canonical, role, is_active, is_email_verified),
     profiles as (
       insert into user_profiles (user_id, first_name, last_name, phone, birth_date)
       select id,
         ($2::text[])[1 + floor(random() * $4)::int] || chr(97 + floor(random() * 26)::int) || chr(97 + floor(random() * 26)::int),
         ($3::text[])[1 + floor(random() * $5)::int] || substr(md5(id::text), 1, 3),
         '+48' || (500000000 + floor(random() * 299999999)::int), date '1950-01-01' + floor(random() * 20000)::int
       from made
       returning user_id, first_name, last_name, phone)
     insert into search_terms (user_id, term, role, is_active, is_email_verified)
     select m.id, term, m.role, m.is_active, m.is_email_verified from made m join profiles p on p.user_id = m.id
       cross join lateral (values (m.email_canonical), (lower(p.first_name || ' ' || p.last_name)), (lower(p.last_name)), (p.phone)) t (term)`,
    [count, firstNames, lastNames, firstNames.length, lastNames.length],
  );
  await client.query("alter table user_profiles enable trigger profiles_search_terms");
  await client.query("commit");
}
