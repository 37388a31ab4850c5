import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { createRequire } from "node:module";
import { Validator } from "@seriousme/openapi-schema-validator";
import { routes, verifyRoute } from "../../services/api-gateway/routes.ts";
import { openApiDocument } from "../../services/api-gateway/openapi.ts";
import { healthPages } from "../../services/api-gateway/health.ts";
import { linkPages } from "../../services/api-gateway/link-pages.ts";
import { errorList } from "../../lib/errors.ts";
import type { Answer, Client } from "../support/client.ts";
import { password } from "../support/people.ts";
import { pictureForm } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { said, signUp } from "./accounts.ts";

interface Schema {
  readonly [key: string]: unknown;
}
interface Media {
  readonly schema: Schema;
  readonly example?: unknown;
}
type Content = Readonly<Record<string, Media>>;
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly Schema[];
  readonly parameters: readonly {
    name: string;
    in: "path" | "query" | "header";
    example?: string | number;
    schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
interface Check {
  (value: unknown): boolean;
  readonly errors?: unknown;
}
interface AjvLike {
  compile(schema: Schema): Check;
}

// The linter's own: JSON Schema 2020-12 and the formats, which the tree's other Ajv does not know.
const require = createRequire(createRequire(import.meta.url).resolve("@seriousme/openapi-schema-validator"));
const { Ajv2020 } = require("ajv/dist/2020.js") as { Ajv2020: new (options: object) => AjvLike };
const { default: addFormats } = require("ajv-formats") as { default: (ajv: AjvLike) => void };

// Made without a server: the operations name the tests.
const all = openApiDocument(
  [...routes, verifyRoute],
  [...linkPages, ...healthPages],
  "http://x",
) as unknown as Document;
const operations = Object.entries(all.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => [method.toUpperCase(), path] as const),
);

let service: TestService;
let document: Document;
beforeAll(async () => {
  service = await startService();
  document = JSON.parse((await service.client().get("/openapi.json")).text) as Document;
  // Examples are about account 1.
  expect((await signUp(service, "MO", { email: moderatorEmail })).id).toBe(1);
});
afterAll(() => service.stop());

const moderatorEmail = "moderator@example.org";

/** Account 1 signed in, whatever an example has made of it. */
async function exampleModerator(verified: boolean): Promise<Client> {
  const like = await signUp(service);
  await service.query(
    `update users set email = $1, email_canonical = $1, role = 'MO', is_active = true, is_email_verified = $2,
       password_hash = (select password_hash from users where id = $3) where id = 1`,
    [moderatorEmail, verified, like.id],
  );
  const client = service.client();
  expect((await client.post("/api/v1/tokens/", { email: moderatorEmail, password })).status).toBe(200);
  return client;
}

const addSession = (id: string) =>
  service.query(
    `insert into sessions (id, user_id, refresh_hash, browser_session, ip, user_agent, idle_expires_at, expires_at)
     values ($1, 1, '', false, '', '', now() + interval '1 day', now() + interval '1 day')`,
    [id],
  );

const checks = new Map<Schema, Check>();
function check(schema: Schema): Check {
  const known = checks.get(schema);
  if (known) return known;
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: true });
  addFormats(ajv);
  const made = ajv.compile(inlined(schema));
  checks.set(schema, made);
  return made;
}
/** Without references: they point into the whole document. */
function inlined(value: unknown): Schema {
  const text = JSON.stringify(value, (_, inner: unknown) => {
    const ref = typeof inner === "object" && inner !== null && "$ref" in inner ? String(inner.$ref) : undefined;
    return ref === undefined ? inner : document.components.schemas[ref.split("/").at(-1) ?? ""];
  });
  return JSON.parse(text) as Schema;
}

/** The answer is one that the document has: its status, its type, its body. */
function expectDocumented(answer: Answer, { responses }: Operation): void {
  expect(Object.keys(responses)).toContain(String(answer.status));
  const content = responses[String(answer.status)]?.content ?? {};
  if (answer.status === 204) {
    expect([content, answer.text, answer.headers.get("content-type")]).toEqual([{}, "", null]);
    return;
  }
  const type = answer.headers.get("content-type")?.split(";")[0] ?? "";
  expect(Object.keys(content)).toContain(type);
  if (type !== "application/json") return;
  const valid = check(content[type]!.schema);
  const isValid = valid(JSON.parse(answer.text));
  expect([answer.text, valid.errors ?? null]).toEqual([answer.text, null]);
  expect(isValid).toBe(true);
}

const operationOf = (method: string, path: string) => document.paths[path]![method.toLowerCase()]!;
const exampleOfParameter = (wanted: string, { parameters }: Operation) =>
  String(parameters.find(({ name }) => name === wanted)?.example ?? "x");
const pathOf = (path: string, operation: Operation) =>
  path.replaceAll(/\{([a-z0-9]+)\}/g, (_, name: string) => exampleOfParameter(name, operation));
const headersOf = (operation: Operation): Record<string, string> => {
  const named = operation.parameters.filter((parameter) => parameter.in === "header").map(({ name }) => name);
  return Object.fromEntries(named.map((name) => [name, exampleOfParameter(name, operation)]));
};
const exampleOf = ({ requestBody }: Operation) => requestBody?.content["application/json"]?.example;
const takesForm = ({ requestBody }: Operation) => requestBody?.content["multipart/form-data"] !== undefined;

/** Of every schema, wherever it stands; and the names of parameters. */
function fieldsIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const { properties, name } = value as { readonly properties?: object; readonly name?: unknown };
  const own = [...Object.keys(properties ?? {}), ...(typeof name === "string" ? [name] : [])];
  return [...own, ...Object.values(value).flatMap(fieldsIn)];
}

describe("/openapi.json", () => {
  test("is OpenAPI 3.1, valid by a linter, and says what the routes say", async () => {
    const result = await new Validator().validate(document as never);
    expect([result.valid, result.errors]).toEqual([true, undefined]);
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(Object.keys(document.paths).toSorted()).toEqual(Object.keys(all.paths).toSorted());
  });

  test("6.4.2 no field and no column is a hint to a password, or a question in its place", async () => {
    const columns = await service.query<{ name: string }>(
      "select column_name as name from information_schema.columns where table_schema = 'public'",
    );
    const names = [...fieldsIn(document), ...columns.map(({ name }) => name)];
    expect(names).toEqual(expect.arrayContaining(["new_password", "password_hash"]));
    expect(names.filter((name) => /hint|question|(?:secret|security)_answer|maiden/i.test(name))).toEqual([]);
  });

  test("every operation has its own id, a summary, its parameters, a success and, with a body, an example", () => {
    const list = operations.map(([method, path]) => ({ path, ...operationOf(method, path) }));
    expect(new Set(list.map(({ operationId }) => operationId)).size).toBe(list.length);
    for (const operation of list) {
      expect(operation.summary).toMatch(/^[A-Z].*\.$/);
      const inPath = [...operation.path.matchAll(/\{([a-z0-9]+)\}/g)].map(([, name]) => name);
      const named = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
      expect(named).toEqual(inPath);
      expect(Object.keys(operation.responses).some((status) => status.startsWith("2"))).toBe(true);
      // A picture cannot be written down as an example.
      if (operation.requestBody && !takesForm(operation)) expect(exampleOf(operation)).toBeDefined();
    }
  });

  test("errors have one closed list of codes", () => {
    const { properties } = document.components.schemas["Error"] as { properties: { code: { enum: string[] } } };
    expect(properties.code.enum.toSorted()).toEqual(Object.keys(errorList).toSorted());
  });

  test("its examples are valid by its own schemas", () => {
    for (const [method, path] of operations) {
      const media = operationOf(method, path).requestBody?.content["application/json"];
      if (!media) continue;
      const valid = check(media.schema);
      expect([path, valid(media.example), valid.errors ?? null]).toEqual([path, true, null]);
    }
  });

  test("whoever may call without signing in is told so", () => {
    const open = operations.filter(([method, path]) => operationOf(method, path).security.length === 0);
    const names = open.map(([method, path]) => `${method} ${path}`);
    expect(names).toEqual(expect.arrayContaining(["POST /api/v1/tokens/", "GET /api/v1/users/{id}/"]));
    expect(names).not.toContain("GET /api/v1/users/current/");
    expect(names).not.toContain("GET /api/v1/users/");
  });
});

describe.each(operations)("%s %s", (method, path) => {
  // What is mailed cannot be written down as an example: theirs is refused.
  const isMailed = path.includes("{token}") || path.endsWith("/confirm/");
  let operation: Operation;
  beforeEach(() => void (operation = operationOf(method, path)));
  const send = async (client = service.client(), body: unknown = exampleOf(operation)) =>
    await client.request(method, pathOf(path, operation), {
      ...(body !== undefined && { body }),
      ...(body === undefined && takesForm(operation) && { form: pictureForm() }),
      headers: { accept: "application/json", ...headersOf(operation) },
    });

  test("called with its own example, as a moderator: answers as documented, and does it", async () => {
    const isModerated = path === "/api/v1/users/{id}/" && method !== "GET";
    const account1 = await exampleModerator(!path.includes("send-activation"));
    // A moderator's own address is not changed in this way.
    const client = isModerated ? (await signUp(service, "MO")).client : account1;
    // Where one signs in, it needs an account; where one registers, none; where one ends a session, that.
    await service.query("delete from users where email_canonical = 'anna@example.com'");
    if (path === "/api/v1/tokens/") await signUp(service, "CU", { email: "anna@example.com" });
    if (path.includes("/sessions/{id}")) await addSession(exampleOfParameter("id", operation));
    const answer = await send(client);
    expectDocumented(answer, operation);
    const succeeds = !isMailed || (method === "GET" && !path.includes("/verify/"));
    expect([answer.text, answer.status < 300]).toEqual([answer.text, succeeds]);
  });

  test("with its own example, as nobody and as a customer: answers as documented", async () => {
    expectDocumented(await send(), operation);
    const { client } = await signUp(service);
    expectDocumented(await send(client), operation);
  });

  test("with input that is wrong: answers as documented", async () => {
    const { client } = await signUp(service, "MO");
    for (const body of [{}, { email: 1 }, { user_profile: { phone: "1" } }, { __proto__x: 1, constructor: {} }]) {
      expectDocumented(await send(client, method === "GET" ? undefined : body), operation);
    }
    const wrong = path.replaceAll(/\{[a-z0-9]+\}/g, "%00");
    const answer = await client.request(method, `${wrong}?limit=0&after=x&search=a&role=x`, {
      headers: { accept: "application/json" },
    });
    expectDocumented(answer, operation);
    const headers = { "content-type": "text/plain" };
    const refused = await client.request(
      method,
      pathOf(path, operation),
      method === "GET" ? {} : { raw: "x", headers },
    );
    expectDocumented(refused, operation);
  });

  test("from a foreign page, with too much or broken JSON: answers as documented", async () => {
    if (method === "GET") return;
    const client = service.client();
    const url = pathOf(path, operation);
    const json = { "content-type": "application/json" };
    for (const request of [
      { headers: { "sec-fetch-site": "cross-site" } },
      { headers: json, raw: "{" },
      { headers: json, raw: `{"x":"${"x".repeat(17_000)}"}` },
      { headers: { ...json, "content-encoding": "gzip" }, raw: "{}" },
    ]) {
      expectDocumented(await client.request(method, url, request), operation);
    }
  });
});

describe("/docs/", () => {
  test("loads nothing from elsewhere, and what it loads is there", async () => {
    const client = service.client();
    const page = await client.get("/docs/");
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, url]) => url ?? "");
    expect(loaded).toHaveLength(3);
    for (const url of loaded) {
      expect(url).toMatch(/^\/docs\//);
      expect((await client.get(url)).status).toBe(200);
    }
    expect(page.text).not.toMatch(/https?:|<script>|\son[a-z]+=/i);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).not.toMatch(/https?:|\*|script-src[^;]*'unsafe/);
  });

  test("its styles and its start load nothing from elsewhere", async () => {
    const { text } = await service.client().get("/docs/swagger-ui.css");
    expect(text).not.toMatch(/@import|url\(["']?(?:https?:)?\/\//i);
    expect((await service.client().get("/docs/start.js")).text).not.toMatch(/https?:/);
  });

  test("only these files are served", async () => {
    for (const name of ["swagger-ui.js", "index.html", "package.json", "..%2fpackage.json"]) {
      expect(said(await service.client().get(`/docs/${name}`))).toEqual([
        404,
        { detail: "Not found.", code: "not_found" },
      ]);
    }
  });
});
