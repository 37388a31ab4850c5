import { status } from "@grpc/grpc-js";
import { Client, type Answer } from "./client.ts";
import type { TestNode } from "./nodes.ts";
import { password, registration } from "./people.ts";
import type { RoleAnswer } from "./roles-client.ts";

/** Several nodes on one database, and somebody who moderates. */
export interface Platform {
  readonly nodes: readonly TestNode[];
  readonly query: (text: string, values: unknown[]) => Promise<unknown>;
  readonly moderator: Person;
}
export interface Person {
  readonly id: number;
  readonly email: string;
  /** An access token. */
  readonly token: string;
}
export const kinds = [
  "logout",
  "password change",
  "own other sessions",
  "sessions by moderator",
  "deactivation",
  "demotion",
] as const;
export type Kind = (typeof kinds)[number];

/** Something that takes away what a token allows. */
interface Revocation {
  /** As what the account begins. */
  readonly role: "CU" | "MO";
  readonly revoke: (at: Client, person: Person, moderator: Person) => Promise<Answer>;
  /** What the token is told from then on: status and code of REST, and the answer of gRPC. */
  readonly rest: readonly [number, string];
  readonly grpc: (person: Person) => RoleAnswer;
}

const bearer = ({ token }: Person) => ({ headers: { authorization: `Bearer ${token}` } });
const unauthenticated = (details: string) => () => ({ code: status.UNAUTHENTICATED, details });
const sessionEnded = { rest: [401, "session_ended"], grpc: unauthenticated("Session has ended") } as const;
const byModerator =
  (body: object): Revocation["revoke"] =>
  (at, { id }, moderator) =>
    at.request("PATCH", `/api/v1/users/${id}/`, { ...bearer(moderator), body });

const revocations: Readonly<Record<Kind, Revocation>> = {
  logout: {
    role: "CU",
    revoke: (at, person) => at.post("/api/v1/tokens/clear/", undefined, bearer(person)),
    ...sessionEnded,
  },
  "password change": {
    role: "CU",
    revoke: (at, person) => {
      const body = { current_password: password, new_password: "another horse battery" };
      return at.post("/api/v1/users/current/password/", body, bearer(person));
    },
    ...sessionEnded,
  },
  "own other sessions": {
    role: "CU",
    revoke: async (at, { email }) => {
      await at.post("/api/v1/tokens/", { email, password });
      return await at.request("DELETE", "/api/v1/sessions/");
    },
    ...sessionEnded,
  },
  "sessions by moderator": {
    role: "CU",
    revoke: (at, { id }, moderator) => at.request("DELETE", `/api/v1/users/${id}/sessions/`, bearer(moderator)),
    ...sessionEnded,
  },
  deactivation: {
    role: "CU",
    revoke: byModerator({ is_active: false }),
    rest: [401, "inactive_account"],
    grpc: unauthenticated("User isn't active"),
  },
  demotion: {
    role: "MO",
    revoke: byModerator({ role: "CU" }),
    rest: [403, "permission_denied"],
    grpc: ({ id }) => ({ user_id: String(id), role: "USER_ROLE_CUSTOMER" }),
  },
};

/** Registered by way of the first node. */
export async function signUp(on: Pick<Platform, "nodes" | "query">, role: "CU" | "MO"): Promise<Person> {
  const client = new Client(on.nodes[0]?.url ?? "");
  const body = registration();
  const answer = await client.post("/api/v1/users/managers/", body);
  if (answer.status !== 201) throw new Error(`registration: ${answer.status} ${answer.text}`);
  const id = Number(answer.json()["id"]);
  await on.query("update users set role = $2, is_email_verified = true where id = $1", [id, role]);
  return { id, email: body.email, token: client.cookie("access_token") ?? "" };
}

/** A door of a node: what it tells a token. */
interface Door {
  readonly name: "REST" | "gRPC";
  readonly ask: (person: Person) => Promise<unknown>;
}
const doorsOf = (node: TestNode, path: string): Door[] => [
  {
    name: "REST",
    ask: async (person) => {
      const answer = await new Client(node.url).get(path, bearer(person));
      return [answer.status, answer.status < 400 ? "ok" : answer.json()["code"]];
    },
  },
  { name: "gRPC", ask: (person) => node.roles.getUserRole(person.token) },
];
const same = (one: unknown, two: unknown): boolean => JSON.stringify(one) === JSON.stringify(two);

/** One token at all doors of all nodes, before and after. */
export async function prepare(on: Platform, kind: Kind) {
  const { role, rest, grpc, revoke } = revocations[kind];
  const person = await signUp(on, role);
  const path = role === "MO" ? "/api/v1/users/?limit=1" : "/api/v1/users/current/";
  const names = { CU: "USER_ROLE_CUSTOMER", MO: "USER_ROLE_MODERATOR" };
  const doorsAt = (nodes: readonly TestNode[]) => nodes.flatMap((node) => doorsOf(node, path));
  const doors = doorsAt(on.nodes);
  const before: Readonly<Record<string, unknown>> = {
    REST: [200, "ok"],
    gRPC: { user_id: String(person.id), role: names[role] },
  };
  const after: Readonly<Record<string, unknown>> = { REST: rest, gRPC: grpc(person) };
  const demand = async (at: readonly Door[], expected: Readonly<Record<string, unknown>>): Promise<void> => {
    for (const { name, ask } of at) {
      const answer = await ask(person);
      if (!same(answer, expected[name])) throw new Error(`${kind}, ${name}: ${JSON.stringify(answer)}`);
    }
  };
  return {
    doors,
    /** Asks until a door has noticed. @returns milliseconds */
    untilNoticed: async ({ name, ask }: Door, everyMs: number, withinMs: number): Promise<number> => {
      const begin = performance.now();
      for (;;) {
        const answer = await ask(person);
        const ms = performance.now() - begin;
        if (same(answer, after[name])) return ms;
        if (!same(answer, before[name]) || ms > withinMs) {
          throw new Error(`${kind}, ${name}, after ${ms.toFixed(0)} ms: ${JSON.stringify(answer)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    },
    revoke: async (nth: number): Promise<void> => {
      const at = new Client(on.nodes[nth % on.nodes.length]?.url ?? "");
      const { status: code, text } = await revoke(at, person, on.moderator);
      if (code >= 300) throw new Error(`${kind}: ${code} ${text}`);
    },
    /** So that every node knows the token. @throws when it is not good */
    demandGood: () => demand(doors, before),
    /** @throws when it still is */
    demandRevokedAt: (nodes: readonly TestNode[]) => demand(doorsAt(nodes), after),
  };
}

export interface Watch {
  /** Which node makes the change. */
  readonly nth: number;
  readonly everyMs: number;
  readonly withinMs: number;
}
/** Of all nodes, in milliseconds. */
export type Times = Readonly<Record<"REST" | "gRPC", readonly number[]>>;

/**
 * One revocation: from its answer to each door's first answer that shows it; none ever shows the old state again.
 * @returns when the revocation was answered, so that another can be made meanwhile
 */
export async function revokeAndWatch(
  on: Platform,
  kind: Kind,
  { nth, everyMs, withinMs }: Watch,
): Promise<{ readonly noticed: Promise<Times> }> {
  const { doors, demandGood, demandRevokedAt, revoke, untilNoticed } = await prepare(on, kind);
  await demandGood();
  await revoke(nth);
  const watch = async (): Promise<Times> => {
    const times = { REST: [] as number[], gRPC: [] as number[] };
    await Promise.all(doors.map(async (door) => times[door.name].push(await untilNoticed(door, everyMs, withinMs))));
    await demandRevokedAt(on.nodes);
    return times;
  };
  const noticed = watch();
  // Whoever waits for it hears of it; until then somebody else may be waited for.
  noticed.catch(() => undefined);
  return { noticed };
}
