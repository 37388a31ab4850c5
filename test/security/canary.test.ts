import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { randomBytes, randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { keyRing, type KeyPurpose } from "../../lib/keys.ts";
import { silentLog } from "../../lib/log.ts";
import { kafkaAvailable } from "../../scripts/kafka/broker.ts";
import { connectKafka } from "../../services/events/kafka.ts";
import { messagesOf } from "../../services/events/messages.ts";
import { changeShapes, type Change } from "../../services/events/topics.ts";
import {
  mailedLink,
  resetRequestsFollowedUp,
  setCookiesOf,
  signUp,
  tokenOf,
  type Person,
} from "../contract/accounts.ts";
import type { Answer, Client, RequestOptions } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { kafkaForTests, type TestKafka } from "../support/kafka.ts";
import { contractTopics, kafkaEnv, reserveIds, watchTopics, type TopicWatch } from "../support/oracle.ts";
import { registration, uniqueEmail } from "../support/people.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { rolesClient } from "../support/roles-client.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { formsOfBytes, formsOfJwt, formsOfPassword, formsOfText, formsOfToken, type Forms } from "./secret-forms.ts";

/**
 * Every story is played once against a separate process that logs all it can, with secrets that are found again. Then
 * everything that it wrote anywhere is searched for them.
 */
const canary = (name: string): string => `Canary-${name}-${randomBytes(16).toString("hex")}`;
const keys = { current: canary("key"), previous: canary("previous-key") };
const peppers = [canary("pepper"), canary("previous-pepper")];

/** By name; where each was meant to go is said where it is looked for. */
const secrets = new Map<string, Forms>();
const typed = (name: string): string => {
  const password = canary(name);
  secrets.set(`password: ${name}`, formsOfPassword(password, peppers));
  return password;
};
const answers: string[] = [];
let stand: TestStand;
let running: ServiceProcess;
let kafka: TestKafka | undefined;
let watch: TopicWatch | undefined;
let heard = "";
let dumped = "";
let mailed: { kind: string; all: string }[] = [];

/** A request of which everything is kept; what its cookies hold is secret. */
async function ask(client: Client, method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
  const answer = await client.request(method, path, options);
  const headers = [...answer.headers].filter(([name]) => name !== "set-cookie");
  answers.push(`${answer.status} ${JSON.stringify(headers)} ${answer.text}`);
  for (const { name, value } of setCookiesOf(answer)) {
    if (value === "") continue;
    secrets.set(`${name} ${secrets.size}`, name === "access_token" ? formsOfJwt(value) : formsOfToken(value));
  }
  return answer;
}
const form = (fields: Record<string, string>): RequestOptions => ({
  raw: new URLSearchParams(fields).toString(),
  headers: { "content-type": "application/x-www-form-urlencoded" },
});
/** The path of a mailed link, whose token is secret but for its own mail. */
async function linkTo(kind: string, address: string, count = 1): Promise<string> {
  const link = await mailedLink(stand, kind, address, count);
  secrets.set(`link: ${kind} ${secrets.size}`, formsOfToken(tokenOf(link)));
  return link;
}

const login = "/api/v1/tokens/";
const refresh = "/api/v1/tokens/refresh/";
const current = "/api/v1/users/current/";
const json = { headers: { accept: "application/json" } };

async function signedUp(name: string): Promise<Person & { password: string }> {
  const password = typed(name);
  const person = await signUp(stand, "CU", { password });
  secrets.set(`access_token of ${name}`, formsOfJwt(person.token));
  secrets.set(`refresh_token of ${name}`, formsOfToken(person.client.cookie("refresh_token") ?? ""));
  return { ...person, password };
}

async function registerAndSignIn(): Promise<void> {
  const client = stand.client();
  const body = registration({ password: typed("registered") });
  const headers = { "idempotency-key": randomUUID() };
  for (let count = 0; count < 2; count++) await ask(client, "POST", "/api/v1/users/couriers/", { body, headers });
  await ask(client, "POST", "/api/v1/users/couriers/", { body: { ...body, password: typed("reused key") }, headers });
  await ask(client, "POST", "/api/v1/users/couriers/", { body: { ...body, password: typed("taken") } });
  await ask(client, "GET", await linkTo("verify", body.email), json);
  await ask(client, "POST", login, { body: { email: body.email, password: body.password } });
  await ask(client, "POST", login, { body: { email: body.email, password: typed("wrong") } });
  await ask(client, "POST", login, { body: { email: uniqueEmail("nobody"), password: typed("unknown address") } });
  await ask(client, "POST", login, { body: { email: typed("in the e-mail's field"), password: "x" } });
  await ask(client, "GET", "/api/v1/users/current/send-activation/");
  const old = client.cookie("refresh_token") ?? "";
  for (let count = 0; count < 2; count++) await ask(client, "POST", refresh);
  const roles = rolesClient(stand.grpcAddress);
  const access = client.cookie("access_token") ?? "";
  for (const token of [access, `${access}x`, "", old]) answers.push(JSON.stringify(await roles.getUserRole(token)));
  roles.close();
  await ask(client, "GET", current);
  await ask(client, "GET", "/api/v1/sessions/");
  await ask(stand.client(), "POST", refresh, { headers: { cookie: `refresh_token=${old}` } });
  await ask(client, "GET", current);
  await ask(client, "POST", "/api/v1/tokens/clear/");
}

async function changePasswords(): Promise<void> {
  const { client, email, password } = await signedUp("changed");
  const change = "/api/v1/users/current/password/";
  await ask(client, "POST", change, {
    body: { current_password: typed("not current"), new_password: typed("not set") },
  });
  const next = typed("new");
  await ask(client, "POST", change, { body: { current_password: password, new_password: next } });
  await ask(client, "POST", change, { body: { current_password: next, new_password: email } });

  await ask(client, "POST", "/api/v1/users/password-reset/", { body: { email } });
  const link = await linkTo("reset-password", email);
  await ask(client, "GET", link);
  const confirm = "/api/v1/users/password-reset/confirm/";
  const body = { token: tokenOf(link), new_password: typed("by reset") };
  await ask(client, "POST", confirm, { body: { ...body, token: `${body.token}x` } });
  for (let count = 0; count < 2; count++) await ask(client, "POST", confirm, { body });
  await ask(client, "POST", "/api/v1/users/password-reset/", { body: { email } });
  const second = await linkTo("reset-password", email, 2);
  await ask(client, "POST", second, form({ new_password: "short" }));
  await ask(client, "POST", second, form({ new_password: typed("by the page") }));
  await ask(client, "POST", "/api/v1/users/password-reset/", { body: { email: uniqueEmail("nobody") } });
}

async function changeAddresses(): Promise<void> {
  const { client, email, password } = await signedUp("moved");
  const to = uniqueEmail("moved");
  await ask(client, "PATCH", current, { body: { email: to, current_password: typed("no password of his") } });
  await ask(client, "PATCH", current, { body: { email: to, current_password: password } });
  await ask(client, "POST", await linkTo("confirm-email", to), form({}));
  await ask(client, "POST", await linkTo("undo-email", email), form({ new_password: typed("taken back") }));

  const disowned = await signedUp("of a stranger");
  const verify = await linkTo("verify", disowned.email);
  await ask(stand.client(), "GET", verify);
  await ask(stand.client(), "POST", verify, form({ password: typed("guessed") }));
  await ask(stand.client(), "POST", verify, form({ new_password: typed("of the owner") }));
}

async function moderate(): Promise<void> {
  const password = typed("of a moderator");
  const { client } = await signUp(stand, "MO", { password });
  const body = registration({ password: typed("of another moderator") });
  await ask(client, "POST", "/api/v1/users/moderators/", { body, headers: { "idempotency-key": randomUUID() } });
  const person = await signedUp("moderated");
  await ask(client, "PATCH", `/api/v1/users/${person.id}/`, { body: { role: "RM", password: typed("ignored") } });
  const everything = { first_name: "Ewa", last_name: "Nowak", phone: "+375291234567", birth_date: "1980-02-29" };
  const changed = { email: uniqueEmail("moderated"), is_active: false, user_profile: everything };
  for (const body of [changed, { is_active: true }]) {
    expect((await ask(client, "PATCH", `/api/v1/users/${person.id}/`, { body })).status).toBe(200);
  }
  await ask(client, "DELETE", `/api/v1/users/${person.id}/sessions/`);
  await ask(client, "GET", "/api/v1/users/?search=kow");
}

async function exchangeLegacyTokens(): Promise<void> {
  const { id } = await signedUp("of the original");
  const claims = { token_type: "refresh", user_id: id };
  for (const key of [keys.current, keys.previous]) {
    const token = jwt.sign(claims, key, { algorithm: "HS256", expiresIn: "1d" });
    secrets.set(`legacy token ${secrets.size}`, formsOfJwt(token));
    for (const sent of [token, `${token}x`]) {
      await ask(stand.client(), "POST", refresh, { headers: { cookie: `refresh_token=${sent}` } });
    }
  }
}

/** At the wrong place, in the wrong form, and while something is broken. */
async function goWrong(): Promise<void> {
  const { client, email, password, token } = await signedUp("gone wrong");
  const held = client.cookie("refresh_token") ?? "";
  const asJson = { "content-type": "application/json" };
  await ask(client, "POST", login, { raw: `{"email":"${email}","password":"${password}"`, headers: asJson });
  await ask(client, "POST", login, { raw: `password=${password}`, headers: { "content-type": "text/plain" } });
  await ask(client, "POST", login, { body: { email, password: [password], [password]: 1 } });
  await ask(client, "POST", login, { body: { email, password: password.repeat(50) } });
  await ask(client, "POST", login, { body: { email, password, __proto__x: { constructor: password } } });
  await ask(client, "POST", `${login}?password=${password}&access_token=${token}`, { body: {} });
  await ask(client, "GET", `/nothing/${held}/${password}/?token=${held}`);
  await ask(client, "GET", `/api/v1/users/${held}/verify/${held}/`, json);
  await ask(client, "GET", `/api/v1/users/${password}/`);
  await ask(client, "DELETE", `/api/v1/sessions/${held}/`);
  const header = { authorization: `Bearer ${held}`, "x-request-id": `${password} x`, traceparent: password };
  await ask(client, "GET", current, { headers: { ...header, "idempotency-key": held } });
  await ask(client, "POST", login, { body: { email, password }, headers: { origin: `https://${password}.example` } });

  // What nobody expected: PostgreSQL's own errors know the row.
  await stand.query("alter table users add constraint broken check (email not like 'broken%') not valid");
  const body = registration({ email: uniqueEmail("broken"), password: typed("in a broken row") });
  expect((await ask(client, "POST", "/api/v1/users/customers/", { body })).status).toBe(500);
  await stand.query("alter table sessions rename to sessions_away");
  expect((await ask(stand.client(), "POST", login, { body: { email, password } })).status).toBe(500);
  await stand.query("alter table sessions_away rename to sessions");
}

/** What no event may tell of anybody, though all of it was typed: address, phone, birth date, hash. */
const personal = /@|%40|\+48|\+375|1990-05-17|1980-02-29|\$2[aby]\$/;
/** The outbox's own words beside those of a change: which topics hear of it is decided by them. */
const forTheRelay: Readonly<Record<string, readonly string[]>> = {
  "user.registered": ["full_name", "image_url"],
  "user.profile_updated": ["role", "seen_by_others"],
  "user.role_changed": ["first_time", "full_name", "image_url"],
};

/** Every table, every row, every column as text. */
async function dump(): Promise<string> {
  const tables = await stand.query<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'",
  );
  expect(tables.length).toBeGreaterThanOrEqual(10);
  const rows = await Promise.all(
    tables.map(({ name }) => stand.query<{ row: string }>(`select t::text as row from ${name} t`)),
  );
  return rows.flatMap((each, index) => each.map(({ row }) => `${tables[index]?.name ?? ""} ${row}`)).join("\n");
}

beforeAll(async () => {
  kafka = kafkaAvailable() === true || process.env["REQUIRE_ALL"] === "1" ? await kafkaForTests() : undefined;
  if (kafka) {
    const { sasl, user, password } = kafka;
    const port = connectKafka({ brokers: [sasl], user, password, mechanism: "plain", ssl: undefined }, silentLog);
    await port.createTopics(contractTopics.map((topic) => ({ topic, partitions: 3, replication: 1 })));
    await port.close();
  }
  stand = await createStand({
    NODE_ENV: "production",
    LOG_LEVEL: "trace",
    SECRET_KEY: keys.current,
    SECRET_KEY_PREVIOUS: keys.previous,
    PASSWORD_PEPPER: peppers[0] ?? "",
    PASSWORD_PEPPER_PREVIOUS: peppers[1] ?? "",
    PASSWORD_HASH_COST: "10",
    LEGACY_TOKENS_UNTIL: "2099-01-01",
    ...(kafka ? kafkaEnv(kafka) : { KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: "1" }),
  });
  if (kafka) watch = await watchTopics(kafka, await reserveIds(stand));
  running = startProcess(stand.env);
  await running.ready();
  for (const [name, text] of Object.entries({
    ...keys,
    pepper: peppers[0] ?? "",
    "previous pepper": peppers[1] ?? "",
  })) {
    secrets.set(`setting: ${name}`, formsOfText(text));
  }
  for (const purpose of [
    "access-token",
    "refresh-token",
    "one-time-token",
    "device-token",
    "cursor",
    "packet",
  ] satisfies KeyPurpose[]) {
    const { object } = keyRing(keys, purpose).current;
    secrets.set(`key: ${purpose}`, formsOfBytes(object.export()));
  }
  secrets.set("setting: PG_PASSWORD", formsOfText(stand.database.service.password));
  secrets.set("setting: PG_MIGRATION_PASSWORD", formsOfText(stand.database.password));
  if (kafka) secrets.set("setting: KAFKA_BROKER_PASSWORD", formsOfText(kafka.password));

  for (const story of [registerAndSignIn, changePasswords, changeAddresses, moderate, exchangeLegacyTokens, goWrong]) {
    await story();
  }
  await resetRequestsFollowedUp(stand);
  await eventually("every mail is sent", async () => {
    return (await stand.query("select 1 from mails where status = 'queued'")).length === 0 ? true : undefined;
  });
  if (watch) {
    await eventually("every change is published", async () => {
      return (await stand.query("select 1 from outbox where published_at is null")).length === 0 ? true : undefined;
    });
    await watch.caughtUp();
    heard = JSON.stringify(watch.messages());
  }
  dumped = await dump();
  mailed = (await stand.mails()).map((mail) => ({
    kind: /\/([a-z-]+)\/[A-Za-z0-9_-]{64}\//.exec(mail.text)?.[1] ?? "none",
    all: JSON.stringify(mail) + mail.text + mail.html,
  }));
  await running.stop();
}, 240_000);
afterAll(async () => {
  await watch?.stop();
  await stand.stop();
});

const logs = () => running.stdout() + running.stderr();
/** Name and form of each secret that is in there; never the secret. */
const foundIn = (text: string, of: Iterable<readonly [string, Forms]> = secrets): string[] =>
  [...of].flatMap(([name, forms]) =>
    Object.entries(forms).flatMap(([form, secret]) => (text.includes(secret) ? [`${name} (${form})`] : [])),
  );

describe("77 what the stories left behind", () => {
  test("is all there: what is searched is what was written", () => {
    const events = running.logs().map((line) => line["event"] ?? line["msg"]);
    for (const event of ["authn_login_fail", "authn_password_change", "authn_token_reuse", "a request failed"]) {
      expect(events).toContain(event);
    }
    expect(running.logs().some(({ level }) => level === "debug")).toBe(true);
    expect(dumped).toContain("moved.");
    expect(dumped).toMatch(/^users \(.*v1:[0-9a-f]{8}:\$2b\$10\$/m);
    expect(dumped).toMatch(/^sessions \(.*\\\\x[0-9a-f]{64}/m);
    expect(dumped).toContain("idempotency_keys (");
    expect(dumped).toContain("user.password_changed");
    expect(new Set(mailed.map(({ kind }) => kind))).toEqual(
      new Set(["verify", "reset-password", "confirm-email", "undo-email", "none"]),
    );
    const statuses = new Set(answers.map((answer) => answer.slice(0, 3)));
    for (const status of ["200", "201", "204", "400", "401", "404", "409", "415", "500"])
      expect(statuses).toContain(status);
    if (watch) expect(heard).toContain("CourierCreatedEvent");
    expect(secrets.size).toBeGreaterThan(60);
  });

  test("a secret that was there would be found, in each of its forms", () => {
    for (const [name, forms] of secrets) {
      for (const [form, secret] of Object.entries(forms)) {
        expect([name, form, secret.length > 10]).toEqual([name, form, true]);
        expect(foundIn(`x${secret}y`, [[name, forms]])).toContain(`${name} (${form})`);
      }
      const plain = forms["plain"];
      for (const before of plain === undefined ? [] : ["", "x", "xx", "xxx"]) {
        const encoded = Buffer.from(`${before}${plain ?? ""}{"end":1}`);
        for (const encoding of ["base64", "base64url", "hex"] as const) {
          expect([name, foundIn(encoded.toString(encoding), [[name, forms]]).length > 0]).toEqual([name, true]);
        }
      }
    }
  });
});

describe("77 82 16.2.5 no password, token, link, key or pepper", () => {
  test("in the log, at any level", () => {
    expect(foundIn(logs())).toEqual([]);
  });

  test("in the database, in any table", () => {
    expect(foundIn(dumped)).toEqual([]);
  });

  test("in what Kafka heard, and what it would hear", () => {
    expect(foundIn(heard)).toEqual([]);
  });

  test("in any answer but its cookies", () => {
    expect(foundIn(answers.join("\n"))).toEqual([]);
  });

  test("in any mail but the link that is meant for it", () => {
    for (const { kind, all } of mailed) {
      const meant = (secret: string) => secret.startsWith(`link: ${kind} `);
      const [found, rest] = [foundIn(all), [...secrets].filter(([name]) => !meant(name))];
      expect(foundIn(all, rest)).toEqual([]);
      // One link, and not a second one beside it.
      expect(new Set(found.map((each) => each.replace(/ \(.*/, ""))).size).toBeLessThanOrEqual(1);
    }
  });
});

test("77 82 what is stored of a password or a token is nowhere else", async () => {
  const hashes = await stand.query<{ name: string; hash: string }>(
    `select 'password_hash' as name, split_part(password_hash, ':', 3) as hash from users
     union all select 'refresh_hash', encode(refresh_hash, 'hex') from sessions
     union all select 'previous_refresh_hash', encode(previous_refresh_hash, 'hex') from sessions
       where previous_refresh_hash is not null
     union all select 'key_hash', encode(key_hash, 'hex') from idempotency_keys`,
  );
  expect(hashes.length).toBeGreaterThan(15);
  const elsewhere = [logs(), heard, answers.join("\n"), ...mailed.map(({ all }) => all)].join("\n");
  const found = hashes.filter(({ name, hash }) => {
    const bytes = Buffer.from(hash, "hex");
    const forms = name === "password_hash" ? formsOfText(hash) : formsOfBytes(bytes);
    return foundIn(elsewhere, [[name, forms]]).length > 0;
  });
  expect(found.map(({ name }) => name)).toEqual([]);
  const outbox = await stand.query<{ data: string }>("select data::text as data from outbox");
  expect(outbox.some(({ data }) => hashes.some(({ hash }) => data.includes(hash)))).toBe(false);
});

describe("82 what is told of an account: exactly the documented fields, and nothing personal but name and picture", () => {
  const rows = () =>
    stand.query<Omit<Change, "data"> & { data: Record<string, unknown> }>(
      `select id, user_id::int as "userId", version, type, data, occurred_at as "occurredAt", traceparent from outbox`,
    );

  test("in the outbox", async () => {
    const changes = await rows();
    const types = new Set(changes.map(({ type }) => type));
    // All but this one are in the stories: accounts are not deleted.
    expect(types).toEqual(new Set(Object.keys(changeShapes).filter((type) => type !== "user.deleted")));
    for (const { type, data } of changes) {
      const documented = [...Object.keys(changeShapes[type] ?? {}), ...(forTheRelay[type] ?? [])];
      expect([type, Object.keys(data).toSorted()]).toEqual([type, documented.toSorted()]);
      expect(JSON.stringify(data)).not.toMatch(personal);
    }
  });

  test("in the messages that are made of it", async () => {
    const messages = (await rows()).flatMap((change) => messagesOf(change));
    expect(messages.length).toBeGreaterThan(20);
    for (const { topic, key, value, headers } of messages) expectDocumented(topic, key, value, headers);
  });

  test("in Kafka", () => {
    if (!watch) return void process.stderr.write("NOT TESTED: messages in Kafka, which is not there\n");
    expect(watch.messages().length).toBeGreaterThan(20);
    for (const { topic, key, value, headers } of watch.messages()) expectDocumented(topic, key, value, headers);
  });

  /** CONTRACT.md, section 3, written down once more: the product's own table must not vouch for itself. */
  const fields: Readonly<Record<string, readonly string[]>> = {
    "CustomerCreatedEvent user_order": ["id"],
    "CustomerCreatedEvent user_review": ["full_name", "id", "image_url"],
    "CustomerUpdatedEvent user_review": ["full_name", "id", "image_url"],
    "CourierCreatedEvent user_order": ["id"],
    "CourierCreatedEvent user_review": ["id"],
    "RestaurantManagerCreatedEvent user_restaurant": ["id"],
    "RestaurantManagerCreatedEvent user_menu": ["id"],
    "RestaurantManagerCreatedEvent user_order": ["id"],
    "ModeratorCreatedEvent user_restaurant": ["id"],
    "ModeratorCreatedEvent user_order": ["id"],
    "user.registered": ["role"],
    "user.profile_updated": ["full_name", "image_url"],
    "user.role_changed": ["from", "to"],
  };
  const allowedHeaders = /^(?:ce_(?:specversion|id|source|type|time|subject)|content-type|traceparent)$/;

  function expectDocumented(
    topic: string,
    key: string,
    value: string,
    headers: Readonly<Record<string, string>>,
  ): void {
    const payload = JSON.parse(value) as Record<string, unknown>;
    if (topic === "user_events") {
      const { type, data } = payload as { type: string; data: object };
      expect(Object.keys(payload).toSorted()).toEqual(["data", "id", "occurred_at", "type", "version"]);
      expect([type, Object.keys(data).toSorted()]).toEqual([type, fields[type] ?? []]);
    } else {
      expect([key, topic, Object.keys(payload).toSorted()]).toEqual([key, topic, fields[`${key} ${topic}`]]);
    }
    expect(Object.keys(headers).filter((name) => !allowedHeaders.test(name))).toEqual([]);
    expect(JSON.stringify([key, value, headers])).not.toMatch(personal);
  }
});
