import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomInt } from "node:crypto";
import { uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";
import { fieldsOf, fullViewFields, said, signUp, type Person } from "./accounts.ts";
import { startStand } from "./stand.ts";

let stand: TestStand;
let moderator: Person;
beforeAll(async () => {
  stand = await startStand();
  moderator = await signUp(stand, "MO");
  for (const role of ["CU", "CO", "RM", "CU", "CO", "RM", "CU"] as const) await signUp(stand, role);
  await signUp(stand, "CU", { verified: true });
  await signUp(stand, "MO", { verified: false });
  await stand.query("update users set is_active = false where id = (select min(id) from users where role = 'CO')");
});
afterAll(() => stand.stop());

interface Row {
  readonly id: number;
  readonly email: string;
  readonly role: string;
  readonly is_active: boolean;
  readonly is_email_verified: boolean;
}
const list = (query: string) => moderator.client.get(`/api/v1/users/${query}`);
const rowsOf = (text: string) => JSON.parse(text) as Row[];
const found = async (query: string) => {
  const answer = await list(query);
  expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  return rowsOf(answer.text);
};
const ids = (rows: readonly Row[]) => rows.map(({ id }) => id);
const nextOf = (link: string | null) => /^<([^>]+)>; rel="next"$/.exec(link ?? "")?.[1];
const search = (text: string) => found(`?search=${encodeURIComponent(text)}`);

/** All pages, following the header as a client does. */
async function pages(query: string): Promise<Row[][]> {
  const all: Row[][] = [];
  for (let path: string | undefined = `/api/v1/users/${query}`; path !== undefined;) {
    const answer = await moderator.client.get(path);
    expect(answer.status).toBe(200);
    all.push(rowsOf(answer.text));
    path = nextOf(answer.headers.get("link"));
  }
  return all;
}
/** Whom a list may show, straight from the table. */
const stored = async (where = "true") =>
  (await stand.query<Row>(`select id::int from users where role <> 'MO' and ${where} order by id`)).map(({ id }) => id);

describe("GET /users/", () => {
  test("everybody but moderators, ordered by id, full views, no Link when that is all", async () => {
    const answer = await list("");
    const rows = rowsOf(answer.text);
    expect([answer.status, ids(rows), answer.headers.get("link")]).toEqual([200, await stored(), null]);
    for (const row of rows) expect(fieldsOf(row)).toEqual(fullViewFields);
  });

  test.each(["cu", "co", "rm"])("role=%s: that role alone", async (role) => {
    expect(ids(await found(`?role=${role}`))).toEqual(await stored(`role = '${role.toUpperCase()}'`));
  });

  test.each([
    ["is_active=false", "not is_active"],
    ["is_active=true", "is_active"],
    ["is_active=True", "is_active"],
    ["is_email_verified=true", "is_email_verified"],
    ["is_email_verified=false", "not is_email_verified"],
    ["role=co&is_active=false&is_email_verified=false", "role = 'CO' and not is_active and not is_email_verified"],
    ["unknown=1&role=rm&format=json", "role = 'RM'"],
    ["role=rm&__proto__=x&constructor=x", "role = 'RM'"],
  ])("%s", async (query, where) => {
    const rows = await found(`?${query}`);
    expect(ids(rows)).toEqual(await stored(where));
    expect(rows).not.toEqual([]);
  });

  test("pages by the Link header: each account once, in order, however small the page; new ones do not shift it", async () => {
    for (const limit of [1, 3, 1000]) {
      const all = await pages(`?limit=${limit}`);
      expect(ids(all.flat())).toEqual(await stored());
      expect(all.slice(0, -1).every((page) => page.length === limit)).toBe(true);
      expect(all.at(-1)).not.toEqual([]);
    }
    const first = await list("?limit=2&role=cu&is_active=true");
    const path = nextOf(first.headers.get("link")) ?? "";
    expect(path).toMatch(/[?&]role=cu(?:&|$)/);
    await stand.query("update users set is_active = false where id = $1", [rowsOf(first.text)[0]?.id]);
    const rest = rowsOf((await moderator.client.get(path)).text);
    const behind = `role = 'CU' and is_active and id > ${rowsOf(first.text)[1]?.id ?? 0}`;
    expect(ids(rest)).toEqual((await stored(behind)).slice(0, 2));
    await stand.query("update users set is_active = true where id = $1", [rowsOf(first.text)[0]?.id]);
  });

  test.each([
    "role=mo",
    "role=CU1",
    "role=",
    "role=cu&role=co",
    "limit=0",
    "limit=-1",
    "limit=1001",
    "limit=1e2",
    "limit=1.5",
    "limit=abc",
    "limit=99999999999999999999",
    "limit=1&limit=2",
    "search=ab",
    "search=%20%20ab%20",
    "search=%00%00%00%00",
    "search=abc&search=abd",
    "is_active=1",
    "is_active=yes",
    "is_email_verified=",
    "is_active=null",
  ])("%s: 400 at that parameter", async (query) => {
    const answer = await list(`?${query}`);
    expect(said(answer)).toEqual([400, { [query.split("=")[0] ?? ""]: [expect.any(String)] }]);
  });

  test("a cursor that was not ours: 400", async () => {
    const link = (await list("?limit=1")).headers.get("link");
    const cursor = new URLSearchParams(nextOf(link)?.split("?")[1]).get("after") ?? "";
    const changed = `${cursor.slice(0, -3)}${cursor.endsWith("AAA") ? "BBB" : "AAA"}`;
    const forged = Buffer.concat([Buffer.alloc(16), Buffer.from('{"id":0}')]).toString("base64url");
    const wrong = ["", "x", changed, forged, cursor.slice(4), Buffer.from('{"id":0}').toString("base64url"), "%00"];
    for (const after of wrong) {
      expect(said(await list(`?after=${after}`))).toEqual([
        400,
        { detail: "The cursor is not valid.", code: "invalid_cursor" },
      ]);
    }
    expect((await list(`?after=${cursor}`)).status).toBe(200);
  });
});

describe("GET /users/?search=", () => {
  /** Somebody whom nobody else resembles. */
  const person = async (changes: Record<string, string> = {}) => {
    const tag = Math.random().toString(36).slice(2, 10).replaceAll(/\d/g, "q");
    const phone = `+4851${String(randomInt(1_000_000, 9_999_999))}`;
    const user_profile = {
      first_name: `Ada${tag}`,
      last_name: `Łoś${tag}`,
      phone,
      birth_date: "1990-05-17",
      ...changes,
    };
    const made = await signUp(stand, "CU", { email: uniqueEmail(`se.${tag}`), user_profile });
    return { ...made, ...user_profile };
  };

  test("the beginning of e-mail, first name, full name, last name or phone, in any case", async () => {
    const { id, email, first_name, last_name, phone } = await person();
    const terms = [
      email,
      email.slice(0, 14).toUpperCase(),
      first_name.toLowerCase(),
      `${first_name} ${last_name.slice(0, 3)}`.toUpperCase(),
      `  ${last_name.toUpperCase().normalize("NFD")} `,
      phone,
      `${phone.slice(0, 3)} (${phone.slice(3, 6)}) ${phone.slice(6, 9)}-${phone.slice(9)}`,
    ];
    for (const term of terms) expect([term, ids(await search(term))]).toEqual([term, [id]]);
    expect(await search(email.slice(1))).toEqual([]);
  });

  test("ordered by the term found, then by id; each account once; pages hold together", async () => {
    const family = `Zz${Math.random().toString(36).slice(2, 8).replaceAll(/\d/g, "q")}`;
    const made: { id: number; first_name: string; last_name: string }[] = [];
    for (const [first_name, last_name] of [
      [`${family}b`, family],
      [`${family}a`, "Nowak"],
      ["Ewa", `${family}c`],
      [`${family}a`, "Nowak"],
    ] as const) {
      made.push({ id: (await person({ first_name, last_name })).id, first_name, last_name });
    }
    const termsOf = ({ first_name, last_name }: (typeof made)[number]) =>
      [`${first_name} ${last_name}`, last_name].map((term) => term.toLowerCase());
    const least = (who: (typeof made)[number]) =>
      termsOf(who)
        .filter((term) => term.startsWith(family.toLowerCase()))
        .toSorted()[0] ?? "";
    const expected = made
      .toSorted((a, b) => (least(a) < least(b) ? -1 : least(a) > least(b) ? 1 : a.id - b.id))
      .map(({ id }) => id);
    expect(ids(await search(family))).toEqual(expected);
    for (const limit of [1, 2, 3]) {
      expect(ids((await pages(`?search=${family}&limit=${limit}`)).flat())).toEqual(expected);
    }
  });

  test("filters hold in a search, moderators are never found", async () => {
    const { id, email } = await person();
    expect(ids(await found(`?search=${email}&role=cu&is_active=true`))).toEqual([id]);
    expect(await found(`?search=${email}&role=rm`)).toEqual([]);
    expect(await found(`?search=${email}&is_email_verified=true`)).toEqual([]);
    await stand.query("update users set is_active = false where id = $1", [id]);
    expect(ids(await found(`?search=${email}&is_active=false`))).toEqual([id]);
    expect(await search(moderator.email)).toEqual([]);
    await stand.query("update users set role = 'MO' where id = $1", [id]);
    expect(await search(email)).toEqual([]);
  });

  test("found under the new name and address, no longer under the old ones", async () => {
    const { id, email, last_name } = await person();
    const body = { email: uniqueEmail("renamed"), user_profile: { last_name: `Nowak${last_name}` } };
    await moderator.client.request("PATCH", `/api/v1/users/${id}/`, { body });
    expect(ids(await search(body.email))).toEqual([id]);
    expect(ids(await search(body.user_profile.last_name))).toEqual([id]);
    expect([await search(email), await search(last_name)]).toEqual([[], []]);
  });

  test.each([
    "%%%",
    "___",
    ".*(",
    "'; drop table users; --",
    "a%b_c\\",
    "\\\\\\",
    "🍕🍕🍕",
    "\u{10ffff}\u{10ffff}\u{10ffff}",
  ])("%j: text, and nothing but text", async (text) => {
    expect(await search(text)).toEqual([]);
  });
});
