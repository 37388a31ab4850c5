import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { bearer, patiently, said, signUp, type Person } from "../contract/accounts.ts";
import { startStand } from "../contract/stand.ts";
import type { Answer } from "../support/client.ts";
import { password, registration, uniqueEmail } from "../support/people.ts";
import type { TestStand } from "../support/service.ts";

/** SECURITY.md, A: what comes in, on every route that takes a body. What one route alone does is in test/contract. */
let stand: TestStand;
let customer: Person;
let moderator: Person;
let other: Person;
beforeAll(async () => {
  stand = await startStand();
  [customer, moderator, other] = [await signUp(stand), await signUp(stand, "MO"), await signUp(stand)];
});
afterAll(() => stand.stop());

type Body = Record<string, unknown>;
interface Write {
  readonly as: "nobody" | "customer" | "moderator";
  readonly method: string;
  readonly path: () => string;
  readonly body: () => Body;
  /** Fields that hold text. */
  readonly texts: readonly string[];
}
const profileTexts = ["first_name", "last_name", "phone", "birth_date"].map((name) => `user_profile.${name}`);
const profile = registration().user_profile;
const users = "/api/v1/users";
const registers = (path: string, as: Write["as"] = "nobody"): Write => ({
  as,
  method: "POST",
  path: () => `${users}/${path}/`,
  body: () => registration(),
  texts: ["email", "password", ...profileTexts],
});
const writes: Record<string, Write> = {
  "register a customer": registers("customers"),
  "register a courier": registers("couriers"),
  "register a manager": registers("managers"),
  "make a moderator": registers("moderators", "moderator"),
  "sign in": {
    ...{ as: "nobody", method: "POST", path: () => "/api/v1/tokens/" },
    ...{ body: () => ({ email: other.email, password }), texts: ["email", "password"] },
  },
  "change the own account": {
    ...{ as: "customer", method: "PATCH", path: () => `${users}/current/` },
    ...{ body: () => ({ user_profile: profile }), texts: ["email", "current_password", ...profileTexts] },
  },
  "replace the own account": {
    ...{ as: "customer", method: "PUT", path: () => `${users}/current/` },
    ...{ body: () => ({ email: customer.email, user_profile: profile }), texts: ["email", ...profileTexts] },
  },
  "change the password": {
    ...{ as: "customer", method: "POST", path: () => `${users}/current/password/` },
    body: () => ({ current_password: "not it at all", new_password: "seven bicycles in the rain" }),
    texts: ["current_password", "new_password"],
  },
  "ask for a new password": {
    ...{ as: "nobody", method: "POST", path: () => `${users}/password-reset/` },
    ...{ body: () => ({ email: uniqueEmail("nobody") }), texts: ["email"] },
  },
  "set a new password": {
    ...{ as: "nobody", method: "POST", path: () => `${users}/password-reset/confirm/` },
    body: () => ({ token: "A".repeat(64), new_password: "seven bicycles in the rain" }),
    texts: ["token", "new_password"],
  },
  "change somebody's account": {
    ...{ as: "moderator", method: "PATCH", path: () => `${users}/${other.id}/` },
    ...{ body: () => ({ user_profile: profile }), texts: ["email", "role", ...profileTexts] },
  },
};
const names = Object.keys(writes);

const send = async ({ as, method, path }: Write, raw: string, query = ""): Promise<Answer> => {
  const token = { nobody: undefined, customer: customer.token, moderator: moderator.token }[as];
  const headers = { "content-type": "application/json", ...(token !== undefined && bearer(token).headers) };
  return await patiently(() => stand.client().request(method, path() + query, { raw, headers }));
};
const withField = (body: Body, field: string, value: unknown): Body => {
  const [first = "", second] = field.split(".");
  if (second === undefined) return { ...body, [first]: value };
  return { ...body, [first]: { ...(body[first] as Body | undefined), [second]: value } };
};
const accounts = async () => {
  const rows = await stand.query<{ n: number }>("select count(*)::int as n from users");
  return rows[0]?.n;
};
/** What nobody may have become. */
const roles = () =>
  stand.query("select id, role, is_staff, is_active from users where id = any($1) order by id", [
    [customer.id, moderator.id, other.id],
  ]);

/** What only moderators or nobody may set, under every name that it has somewhere. */
const notTheirs = {
  ...{ id: 1, role: "MO", roles: ["MO"], roles_held: ["MO"], is_staff: true, is_superuser: true, is_active: false },
  ...{ is_email_verified: true, email_verified: true, password_hash: "x", session_epoch: 9, version: 9 },
  ...{ created_at: "2000-01-01T00:00:00Z", last_login: "2000-01-01T00:00:00Z", pending_email: "evil@example.org" },
};
const columns = "role, roles_held, is_staff, is_active, is_email_verified, session_epoch, pending_email, last_login";

test.each([
  ["customers", "CU"],
  ["couriers", "CO"],
  ["managers", "RM"],
])(
  "1 15.3.3 a registration at /%s/ that names its role and flags: those of the route, in the event as well",
  async (route, role) => {
    const client = stand.client();
    const body = { ...registration(), ...notTheirs, user_profile: { ...profile, role: "MO", user_id: moderator.id } };
    const answer = await patiently(() => client.post(`${users}/${route}/?role=MO&is_staff=true`, body));
    expect([answer.status, answer.json()["role"]]).toEqual([201, role]);
    const id = Number(answer.json()["id"]);
    expect(await stand.query(`select ${columns} from users where id = $1`, [id])).toEqual([
      {
        ...{ role, roles_held: [role], is_staff: false, is_active: true, is_email_verified: false },
        ...{ session_epoch: 0, pending_email: null, last_login: null },
      },
    ]);
    const events = await stand.query<{ data: unknown }>("select * from outbox where user_id = $1", [id]);
    expect(events).toHaveLength(1);
    expect(JSON.stringify(events)).not.toMatch(/"MO"|is_staff|evil@/);
  },
);

test.each(["PATCH", "PUT"])(
  "4 15.3.3 8.2.3 a %s of one's own account with fields that are not one's own: ignored",
  async (method) => {
    const person = await signUp(stand);
    const before = await stand.query(`select ${columns}, email, password_hash from users where id = $1`, [person.id]);
    const body = {
      email: person.email,
      user_profile: { ...profile, user_id: other.id, first_name: "Ewa" },
      ...notTheirs,
    };
    const answer = await person.client.request(method, `${users}/current/?id=${other.id}&role=MO`, { body });
    expect([answer.status, answer.json()]).toEqual([
      200,
      expect.objectContaining({ id: person.id, role: "CU", is_email_verified: false, pending_email: null }),
    ]);
    const after = await stand.query(`select ${columns}, email, password_hash from users where id = $1`, [person.id]);
    expect(after).toEqual(before);
  },
);

/** Fits into the limit once it is packed. */
const bomb = Buffer.alloc(10_000_000);

describe("12 sizes and encodings of a body", () => {
  const padded = (body: Body, bytes: number) => {
    const empty = JSON.stringify({ ...body, pad: "" });
    return empty.replace('"pad":""', `"pad":"${"x".repeat(bytes - empty.length)}"`);
  };
  test.each(names)("%s: 16 KB are read, one byte more is 413", async (name) => {
    const write = writes[name]!;
    expect((await send(write, padded(write.body(), 16 * 1024))).status).not.toBe(413);
    expect(said(await send(write, padded(write.body(), 16 * 1024 + 1)))).toEqual([
      413,
      expect.objectContaining({ code: "body_too_large" }),
    ]);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["gzip", gzipSync],
    ["GZIP", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["identity, gzip", gzipSync],
    ["gzip, gzip", (bytes) => gzipSync(gzipSync(bytes))],
  ])("a small body that would be 10 MB, encoded with %s: 415 at once", async (encoding, pack) => {
    const begun = performance.now();
    const response = await fetch(`${stand.url}${users}/customers/`, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": encoding },
      body: new Uint8Array(pack(bomb)),
    });
    expect(response.status).toBe(415);
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});
describe.each(names)("%s", (name) => {
  const write = writes[name]!;

  test("2 15.3.6 __proto__, constructor or prototype anywhere in the body: refused as a whole", async () => {
    const [before, count] = [await roles(), await accounts()];
    const body = JSON.stringify(write.body());
    for (const key of ["__proto__", "constructor", "prototype"]) {
      const poison = `"${key}":{"role":"MO","is_staff":true}`;
      const hidden = `"${key.slice(0, -1)}\\u${key
        .charCodeAt(key.length - 1)
        .toString(16)
        .padStart(4, "0")}":1`;
      for (const raw of [`{${poison}}`, body.replace("{", `{${poison},`), body.replace("{", `{"a":[[{${hidden}}]],`)]) {
        expect(said(await send(write, raw))).toEqual([400, { detail: expect.any(String), code: "forbidden_key" }]);
      }
    }
    expect([await roles(), await accounts()]).toEqual([before, count]);
  });

  test("7 15.3.5 each text as anything else: 400 at its field, and no list is searched", async () => {
    const count = await accounts();
    const values = [
      "[]",
      "{}",
      '["a@example.com","b@example.com"]',
      '{"$ne":""}',
      '{"length":10}',
      "0",
      "1e309",
      "true",
      "null",
    ];
    for (const field of write.texts) {
      const body = JSON.stringify(withField(write.body(), field, "\u0001"));
      const answers = await Promise.all(values.map((value) => send(write, body.replace('"\\u0001"', value))));
      const at = field.split(".")[0] ?? "";
      for (const [nth, answer] of answers.entries()) {
        expect([field, values[nth], answer.status, Object.keys(answer.json())]).toEqual([
          field,
          values[nth],
          400,
          [at],
        ]);
        expect(answer.text).not.toContain("$ne");
      }
    }
    expect(await accounts()).toBe(count);
  });

  test("9 10 1.2.4 SQL, patterns, NUL and control characters in each text: no 5xx, nothing else is touched", async () => {
    const before = await roles();
    for (const field of write.texts) {
      const answers = await Promise.all(
        hostileTexts.map(async (text) => {
          return await timed(text, () => send(write, JSON.stringify(withField(write.body(), field, text))));
        }),
      );
      expect(answers.filter(([, status]) => ![200, 201, 400, 401].includes(status))).toEqual([]);
      expect(answers.filter(([, , ms]) => ms > asleepMs)).toEqual([]);
      // PostgreSQL cannot hold NUL. A password that nothing asks for is not looked at.
      const kept = answers.filter(([text, status]) => text.includes("\0") && status < 300);
      if (field !== "current_password" && name !== "ask for a new password") expect(kept).toEqual([]);
    }
    expect(await roles()).toEqual(before);
    const tables = await stand.query("select 1 from pg_tables where tablename in ('users', 'sessions', 'mails')");
    expect(tables).toHaveLength(3);
  });

  test("5 6 15.3.7 the query says something else than the body: the body counts, on prototype keys as well", async () => {
    const before = await roles();
    const query =
      "?role=MO&is_staff=true&id=1&email=evil@example.org&password=x&__proto__[role]=MO&constructor.prototype.role=MO&__proto__=x";
    const [plain, queried] = [JSON.stringify(write.body()), JSON.stringify(write.body())];
    const [without, withQuery] = [await send(write, plain), await send(write, queried, query)];
    expect(withQuery.status).toBe(without.status);
    expect(withQuery.text).not.toContain("evil");
    expect((await send(write, "{}", query)).status).toBe((await send(write, "{}")).status);
    expect(await roles()).toEqual(before);
  });
});

/** Less than they ask PostgreSQL to sleep, and less than it lets a statement take (2.5 s). */
const asleepMs = 2000;
async function timed(text: string, ask: () => Promise<Answer>): Promise<[text: string, status: number, ms: number]> {
  const began = performance.now();
  const { status } = await ask();
  return [text, status, performance.now() - began];
}

test("9 1.2.4 SQL in paths, queries, headers and cookies: no 5xx, and nobody sleeps", async () => {
  const asks: Record<string, (text: string) => Promise<Answer>> = {
    "an id": (text) => moderator.client.get(`${users}/${encodeURIComponent(text)}/`),
    "a reference": (text) => stand.client().get(`${users}/${encodeURIComponent(text)}/verify/${"A".repeat(64)}/`),
    "a session": (text) => moderator.client.request("DELETE", `/api/v1/sessions/${encodeURIComponent(text)}/`),
    "a picture": (text) => stand.client().get(`/media/avatars/${encodeURIComponent(text)}`),
    ...Object.fromEntries(
      ["search", "role", "limit", "after", "is_active", "sort", "order"].map((name) => [
        name,
        (text: string) => moderator.client.get(`${users}/?${new URLSearchParams({ [name]: text }).toString()}`),
      ]),
    ),
    ...Object.fromEntries(
      ["actor", "subject", "event", "ip", "outcome", "from", "to", "after"].map((name) => [
        `audit: ${name}`,
        (text: string) => moderator.client.get(`/api/v1/audit/?${new URLSearchParams({ [name]: text }).toString()}`),
      ]),
    ),
    headers: (text) => {
      const names = ["user-agent", "x-forwarded-for", "x-request-id", "idempotency-key", "traceparent", "referer"];
      const headers = Object.fromEntries(names.map((name) => [name, text]));
      return stand.client().post("/api/v1/tokens/", { email: other.email, password }, { headers });
    },
    cookies: (text) => {
      const cookie = `access_token=${text}; refresh_token=${text}; device_id=${text}`;
      return stand.client().post("/api/v1/tokens/refresh/", undefined, { headers: { cookie } });
    },
    "a token": (text) => stand.client().get(`${users}/current/`, bearer(text)),
  };
  const texts = hostileTexts.filter((text) => /^[\x20-\x7e]+$/.test(text));
  expect(texts.filter((text) => text.includes("pg_sleep(5)")).length).toBeGreaterThan(3);
  for (const [where, ask] of Object.entries(asks)) {
    const answers = await Promise.all(texts.map((text) => timed(text, () => ask(text))));
    expect([where, answers.filter(([, status, ms]) => status >= 500 || ms > asleepMs)]).toEqual([where, []]);
  }
  expect((await moderator.client.get(`${users}/current/`)).status).toBe(200);
});

const hostileTexts = [
  "'",
  "' or '1'='1",
  "'; drop table users; --",
  '" or ""="',
  "') or pg_sleep(5) --",
  "'; select pg_sleep(5); --",
  "'||(select pg_sleep(5))||'",
  "1 and 1=(select 1 from pg_sleep(5))",
  "x'||(select password_hash from users limit 1)||'",
  "\\'; select 1; --",
  "$1",
  "$$",
  "%",
  "_%",
  ".*(",
  "(a+)+$",
  "{{7*7}}${7*7}<%= 7*7 %>",
  "a\u0000b",
  "\u0000",
  "\u001b[31m",
  "a\r\nBcc: evil@example.org",
  "\ud800",
  "\u202e\u2066\u200b\ufeff",
  "../../../etc/passwd",
  "() { :;}; echo",
  "🙂".repeat(100),
];

describe("a name", () => {
  test.each([
    ["composed and decomposed", "Zoe\u0308"],
    ["four bytes a character", "😀 𠮷"],
    ["from right to left, with an override", "\u202eقهوة\u202c"],
    ["with nothing between", "a\u200b\u200d\ufeffb"],
    ["with what ends a line in scripts", "a\u2028b\u2029c"],
    ["with quotes, markup and escapes", `"'<b>&amp;\\u0041\\`],
    ["like a key of Object", "__proto__"],
  ])("11 1.2.3 %s: comes back as it was kept, wherever it is shown", async (_, first_name) => {
    const { client, id } = await signUp(stand, "CU", { user_profile: { ...profile, first_name } });
    const kept = first_name.normalize("NFC").trim();
    const own = (await client.get(`${users}/current/`)).json();
    const shown = (await stand.client().get(`${users}/${id}/`)).json();
    const [row] = await stand.query("select first_name from user_profiles where user_id = $1", [id]);
    expect([own["user_profile"], shown["user_profile"], row]).toEqual([
      expect.objectContaining({ first_name: kept }),
      expect.objectContaining({ first_name: kept }),
      { first_name: kept },
    ]);
    const [event] = await stand.query<{ data: { full_name?: string } }>("select data from outbox where user_id = $1", [
      id,
    ]);
    if (event?.data.full_name !== undefined) expect(event.data.full_name).toContain(kept);
  });

  test.each(["\ud800", "a\udc00", "a\u0000", "a\u001b[0m", "a\nb", "\u0085"])("11 %j: refused", async (first_name) => {
    const answer = await stand
      .client()
      .post(`${users}/customers/`, registration({ user_profile: { ...profile, first_name } }));
    expect([answer.status, answer.json()]).toEqual([400, { user_profile: { first_name: [expect.any(String)] } }]);
  });
});

describe("numbers and ids", () => {
  const numbers = [
    "-1",
    "0",
    "-0",
    "2147483648",
    "9007199254740993",
    "1e309",
    "1e3",
    "0x1",
    "NaN",
    "1.0",
    "+1",
    "%31%00",
    "1%2f2",
    "１",
    "'",
  ];
  test.each(numbers)("1.4.2 an account's id %s: 400 or 404, for whoever asks and whatever he wants", async (id) => {
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const path = method === "DELETE" ? `${users}/${id}/sessions/` : `${users}/${id}/`;
      const body = method === "PATCH" ? { body: { user_profile: { first_name: "Evil" } } } : {};
      const answer = await stand.client().request(method, path, { ...bearer(moderator.token), ...body });
      expect([method, [400, 404].includes(answer.status)]).toEqual([method, true]);
    }
  });
  test.each([...numbers, "1001", "1&limit=2"])("1.4.2 a limit of %s: 400", async (limit) => {
    expect((await moderator.client.get(`${users}/?limit=${limit}`)).status).toBe(400);
  });
  test("9 sort, order, fields, filter: nobody knows them, and the list is the same", async () => {
    const plain = await moderator.client.get(`${users}/`);
    const asked = await moderator.client.get(
      `${users}/?sort=password_hash;drop+table+users&order=desc&fields=password_hash&filter[role]=MO&query={"id":1}`,
    );
    expect([asked.status, asked.text]).toEqual([plain.status, plain.text]);
  });
});

describe("headers and cookies", () => {
  test.each([
    ["a header constructor", { constructor: "x" }],
    ["a cookie __proto__", { cookie: "__proto__=x; constructor=y; toString=z" }],
    ["broken escapes in cookies", { cookie: "access_token=%E0%A4%A; device_id=%; refresh_token=%00" }],
    ["five hundred cookies", { cookie: Array.from({ length: 500 }, (_, n) => `c${n}=1`).join("; ") }],
  ])("15.3.6 %s: nothing special", async (_, headers) => {
    const own = Object.fromEntries(Object.entries(headers as Record<string, string>));
    const answer = await stand
      .client()
      .get(`${users}/current/`, { headers: { ...own, ...bearer(customer.token).headers } });
    expect([answer.status, answer.json()["role"]]).toEqual([200, "CU"]);
  });

  test("15.3.6 a header __proto__, twice (CVE-2026-21710): nothing special", async () => {
    const { host, origin } = new URL(stand.url);
    // As pairs: `fetch` would lose it.
    const headers = ["Host", host, "__proto__", "role", "__proto__", "id", "Authorization", `Bearer ${customer.token}`];
    const [answer] = (await once(request(`${origin}${users}/current/`, { headers }).end(), "response")) as [
      IncomingMessage,
    ];
    expect([answer.statusCode, await json(answer)]).toEqual([
      200,
      expect.objectContaining({ id: customer.id, role: "CU" }),
    ]);
  });

  test("1.5.3 one cookie twice: the first counts; one key of a body twice: the last", async () => {
    const cookie = `access_token=${customer.token}; access_token=${moderator.token}`;
    const answer = await stand.client().get(`${users}/current/`, { headers: { cookie } });
    expect(answer.json()["id"]).toBe(customer.id);
    const raw = `{"email":"nobody@example.com","email":${JSON.stringify(other.email)},"password":${JSON.stringify(password)}}`;
    expect((await send(writes["sign in"]!, raw)).status).toBe(200);
  });
});
