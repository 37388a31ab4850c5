import { errorList, type ErrorCode } from "../../lib/errors.ts";
import { ruleToJsonSchema, type JsonSchema, type Rule, type Shape } from "../../lib/schema.ts";
import type { Route } from "./routes.ts";
import { fileField } from "./uploads.ts";

const noCookies = { accessToken: undefined, refreshToken: undefined, deviceId: undefined };
const noHeaders = { idempotencyKey: null };
const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: JsonSchema, example?: unknown): JsonSchema => ({
  "application/json": { schema, ...(example !== undefined && { example }) },
});

/** OpenAPI 3.1 of the routes, made from the action contracts: what is validated is what is documented. */
export function openApiDocument(routes: readonly Route[], pages: readonly Page[], publicUrl: string): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  const add = (method: string, route: string, described: JsonSchema): void => {
    const path = route.replaceAll(/:([a-z0-9]+)/g, "{$1}");
    paths[path] = { ...paths[path], [method.toLowerCase()]: described };
  };
  for (const route of routes) add(route.method, route.path, operation(route));
  for (const page of pages) add(page.method, page.path, pageOperation(page));
  return {
    openapi: "3.1.0",
    info: {
      title: "User management",
      version: "1.0.0",
      description: "Accounts, sessions and roles of a food-delivery platform.",
      license: { name: "Proprietary", identifier: "LicenseRef-Proprietary" },
    },
    servers: [{ url: publicUrl }],
    tags: [{ name: "auth" }, { name: "users" }, { name: "pages" }],
    paths,
    components: {
      schemas: { Error: errorSchema, FieldErrors: fieldErrorsSchema },
      securitySchemes: {
        cookie: { type: "apiKey", in: "cookie", name: "access_token" },
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      },
    },
  };
}

/** What has no action behind it, or answers a person: pages, forms, health. */
export interface Page {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly summary: string;
  readonly statuses: readonly number[];
  readonly answers: Rule | "html";
}

function pageOperation({ method, path, summary, statuses, answers }: Page): JsonSchema {
  const html = { "text/html": { schema: { type: "string" } } };
  // What goes wrong before a page is made is told as everywhere else.
  const content =
    answers === "html"
      ? { ...html, ...json({ anyOf: [ref("FieldErrors"), ref("Error")] }) }
      : json(ruleToJsonSchema(answers));
  const names = [...path.matchAll(/:([a-z0-9]+)/g)].map(([, name]) => name ?? "");
  return {
    operationId: operationId({ method, path }),
    summary,
    tags: ["pages"],
    security: [],
    parameters: names.map((name) => parameter("path", name, { type: "string" }, true)),
    responses: Object.fromEntries(statuses.map((status) => [status, { description: summary, content }])),
  };
}

const errorSchema: JsonSchema = {
  type: "object",
  properties: { detail: { type: "string" }, code: { type: "string", enum: Object.keys(errorList) } },
  required: ["detail", "code"],
  additionalProperties: false,
};
const messages: JsonSchema = { type: "array", items: { type: "string" }, minItems: 1 };
const fieldErrorsSchema: JsonSchema = {
  type: "object",
  description: "Messages by field; those of `user_profile` one level deeper.",
  additionalProperties: { anyOf: [messages, { type: "object", additionalProperties: messages }] },
};

function operation(route: Route): JsonSchema {
  const { action } = route;
  const names = new Set(action.name.split("."));
  const content = bodyContent(route);
  return {
    operationId: operationId(route),
    summary: action.summary,
    tags: [...names].slice(0, 1),
    security: action.auth === "none" ? [] : [{ cookie: [] }, { bearer: [] }],
    parameters: [...pathParameters(route), ...queryParameters(route), ...headerParameters(route)],
    ...(content && { requestBody: { required: true, content } }),
    responses: responses(route),
  };
}

/** `POST /api/v1/users/customers/` -> `postUsersCustomers`. */
function operationId({ method, path }: Pick<Route, "method" | "path">): string {
  const words = path.replace("/api/v1/", "").split(/[^a-z0-9]+/i);
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
}

const pathParameters = ({ pathParams, action }: Route): JsonSchema[] =>
  Object.entries(pathParams).map(([name, param]) => parameter("path", name, action.params[param], true));

const queryParameters = ({ query, action }: Route): JsonSchema[] =>
  query.map((name) => parameter("query", name, action.params[name], false));

const headerParameters = ({ idempotent }: Route): JsonSchema[] =>
  idempotent ? [parameter("header", "Idempotency-Key", idempotencyKey, false)] : [];
const idempotencyKey: Rule = {
  type: "string",
  min: 1,
  max: 255,
  description: "The same request again with the same key within 24 hours gives the same answer.",
  example: "5f0c8a4e-7d3b-4c1e-9a62-0b1d2c3e4f50",
};

function parameter(
  where: "path" | "query" | "header",
  name: string,
  rule: Rule | undefined,
  required: boolean,
): JsonSchema {
  const { description, ...schema } = rule ? ruleToJsonSchema(rule) : {};
  const example = rule?.example;
  return {
    name,
    in: where,
    required,
    schema,
    ...(description !== undefined && { description }),
    ...(example !== undefined && { example }),
  };
}

/** What is left for the body when path and route have taken theirs. */
function bodyShape({ body, action, pathParams, fixed }: Route): Shape | undefined {
  if (!body) return undefined;
  const taken = new Set([...Object.values(pathParams), ...Object.keys(fixed(noCookies, noHeaders))]);
  return Object.fromEntries(Object.entries(action.params).filter(([name]) => !taken.has(name)));
}

function bodyContent(route: Route): JsonSchema | undefined {
  if (route.upload) return { "multipart/form-data": uploadForm };
  const body = bodyShape(route);
  return body && json(objectSchema(body), exampleOf(body));
}

const uploadForm: JsonSchema = {
  schema: {
    type: "object",
    properties: { [fileField]: { type: "string", format: "binary", description: "Up to 5 MB and 25 megapixels." } },
    required: [fileField],
  },
  // What counts is the content, not what it is called here.
  encoding: { [fileField]: { contentType: "image/jpeg, image/png, image/webp" } },
};

const objectSchema = (shape: Shape): JsonSchema => ruleToJsonSchema({ type: "object", strict: "remove", props: shape });

/** The example of every property that has one, nested like the properties. */
function exampleOf(shape: Shape): unknown {
  const entries = Object.entries(shape).map(([name, rule]) => [
    name,
    rule.type === "object" ? exampleOf(rule.props) : rule.example,
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function responses(route: Route): Record<string, JsonSchema> {
  const byStatus = Map.groupBy(new Set(errorsOf(route)), (code) => errorList[code].status);
  const errors = [...byStatus].map(([status, codes]) => [String(status), errorResponse(status, codes)] as const);
  return {
    [route.status]: {
      description: "Done.",
      ...(route.status !== 204 && { content: successContent(route) }),
      headers: successHeaders(route),
    },
    ...Object.fromEntries(errors),
    // Said by Node's HTTP parser, before there is a request.
    431: { description: "URL and headers have more than 8 KB.", content: json(ref("Error")) },
  };
}

const successContent = ({ answers, page }: Route): JsonSchema => ({
  ...json(ruleToJsonSchema(answers)),
  ...(page && { "text/html": { schema: { type: "string" } } }),
});

function successHeaders({ query }: Route): JsonSchema {
  const link = { description: "The next page, `rel=next` (RFC 8288).", schema: { type: "string" } };
  return query.includes("after") ? { Link: link } : {};
}

/** The errors of an action, of its kind, and of every route. */
function errorsOf({ action, acts, method, body, upload, query, pathParams }: Route): ErrorCode[] {
  const takesInput = body || upload || query.length > 0 || Object.keys(pathParams).length > 0;
  const session: ErrorCode[] = ["not_authenticated", "invalid_token", "session_ended", "inactive_account"];
  return [
    ...(action.errors ?? []),
    ...(acts ? (["cross_site_request"] as const) : []),
    ...(takesInput ? (["invalid_input"] as const) : []),
    "malformed_request",
    ...(action.auth === "none" ? [] : session),
    ...(typeof action.auth === "object" ? (["permission_denied", "email_not_verified"] as const) : []),
    ...(method === "GET"
      ? (["unsupported_media_type"] as const)
      : ([
          "malformed_body",
          "forbidden_key",
          "cross_site_request",
          "body_too_large",
          "unsupported_media_type",
          ...(upload ? (["multipart_required"] as const) : []),
        ] as const)),
    "unavailable",
  ];
}

function errorResponse(status: number, codes: readonly ErrorCode[]): JsonSchema {
  const plain = codes.filter((code) => code !== "invalid_input");
  const schemas = [
    ...(codes.includes("invalid_input") ? [ref("FieldErrors")] : []),
    ...(plain.length > 0 ? [ref("Error")] : []),
  ];
  const retry = { "Retry-After": { description: "Seconds.", schema: { type: "integer" } } };
  return {
    description: codes.map((code) => `\`${code}\`: ${errorList[code].detail}`).join(" "),
    content: json(schemas.length === 1 ? (schemas[0] ?? {}) : { anyOf: schemas }),
    ...((status === 503 || status === 429) && { headers: retry }),
  };
}
