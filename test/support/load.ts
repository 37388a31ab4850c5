import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Acknowledged, AcknowledgedChange, Queried } from "./oracle.ts";
import { password, registration } from "./people.ts";
import { oneOf } from "./random.ts";

/** What clients have seen. */
export interface Journal {
  readonly acknowledged: readonly Acknowledged[];
  /** When each write was answered with success (`performance.now()`), ascending. */
  readonly successes: readonly number[];
  /** Sign-ins that were answered with success. */
  signIns: number;
  /** Questions that got no answer, or one that says "come again": their clients ask again. */
  repeated: number;
  /** Answers that no fault explains, as "method path status". */
  readonly unexpected: string[];
}

export interface Load {
  /** Of the nodes; each question goes to any of them. */
  readonly urls: readonly string[];
  /** An access token. */
  readonly moderator: string;
  readonly people: number;
  /** What each of them waits between two questions. */
  readonly pauseMs: number;
  readonly random: () => number;
  readonly stop: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly token: string | undefined;
}
interface Question {
  readonly method: "POST" | "PATCH";
  readonly path: string;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}
interface Person {
  readonly id: number;
  readonly email: string;
  readonly isVerified: boolean;
  role: unknown;
  token: string;
}

const paths = ["customers", "couriers", "managers"] as const;
const roles = ["CU", "CO", "RM"] as const;
const isPassing = (status: number): boolean => [429, 502, 503, 504].includes(status);
const answerLimitMs = 5000;
/** Who has been let in again is told no by a node that was not told: until its next poll, which may meet a fault. */
const staleLimitMs = 10_000;

class Stopped extends Error {}

/**
 * People who register, sign in and change things until they are stopped. Each asks again until there is an answer, as a
 * client does, and so always knows the state of its account.
 */
export function startLoad(load: Load): { readonly journal: Journal; readonly ended: Promise<unknown> } {
  const acknowledged: Acknowledged[] = [];
  const successes: number[] = [];
  const journal: Journal = { acknowledged, successes, signIns: 0, repeated: 0, unexpected: [] };
  const { random } = load;

  const insist = async ({ method, path, body, headers }: Question, wanted: number): Promise<Answer> => {
    const began = performance.now();
    while (!load.stop.aborted) {
      const answer = await ask(oneOf(random, load.urls), { method, path, body, ...(headers && { headers }) });
      if (answer?.status === wanted) {
        await sleep(load.pauseMs);
        return answer;
      }
      const isStale = answer?.status === 401 && performance.now() - began < staleLimitMs;
      if (answer && !isPassing(answer.status) && !isStale) {
        journal.unexpected.push(`${method} ${path.replaceAll(/\d+/g, "N")} ${answer.status}`);
      }
      journal.repeated++;
      await sleep(100 + random() * 100);
    }
    throw new Stopped();
  };
  const write = async (question: Question, wanted: number): Promise<Answer> => {
    const answer = await insist(question, wanted);
    successes.push(performance.now());
    return answer;
  };
  const moderate = (person: Person, body: object) => {
    const headers = { authorization: `Bearer ${load.moderator}` };
    return write({ method: "PATCH", path: `/api/v1/users/${person.id}/`, body, headers }, 200);
  };
  const signIn = async (person: Person): Promise<void> => {
    const answer = await insist(
      { method: "POST", path: "/api/v1/tokens/", body: { email: person.email, password } },
      200,
    );
    person.token = answer.token ?? "";
    journal.signIns++;
  };

  const actions: readonly ((person: Person, changes: AcknowledgedChange[]) => Promise<void>)[] = [
    async (person, changes) => {
      const first = `Anna ${randomUUID()}`;
      const headers = { authorization: `Bearer ${person.token}` };
      const body = { user_profile: { first_name: first } };
      await write({ method: "PATCH", path: "/api/v1/users/current/", body, headers }, 200);
      changes.push({ type: "user.profile_updated", data: { full_name: `${first} Kowalska` } });
    },
    signIn,
    async (person, changes) => {
      const others = roles.filter((role) => role !== person.role);
      const to = oneOf(random, others);
      await moderate(person, { role: to });
      person.role = to;
      changes.push({ type: "user.role_changed", data: { to } });
    },
    async (person, changes) => {
      // A mail whose turn comes while an account is deactivated is given up: no verification mail may be on its way.
      if (!person.isVerified) return;
      await moderate(person, { is_active: false });
      changes.push({ type: "user.deactivated" });
      await moderate(person, { is_active: true });
      changes.push({ type: "user.reactivated" });
      await signIn(person);
    },
  ];

  const live = async (): Promise<void> => {
    const body = registration();
    const path = `/api/v1/users/${oneOf(random, paths)}/`;
    const headers = { "idempotency-key": randomUUID() };
    const { body: user, token = "" } = await write({ method: "POST", path, body, headers }, 201);
    const changes: AcknowledgedChange[] = [];
    const isVerified = random() < 0.5;
    const person: Person = { id: Number(user["id"]), email: body.email, role: user["role"], token, isVerified };
    acknowledged.push({ id: person.id, email: person.email, changes });
    if (isVerified) {
      await moderate(person, { is_email_verified: true });
      changes.push({ type: "user.email_verified" });
    }
    for (let count = Math.floor(random() * 5); count > 0; count--) await oneOf(random, actions)(person, changes);
  };
  const people = Array.from({ length: load.people }, async () => {
    while (!load.stop.aborted) {
      await live().catch((error: unknown) => {
        if (!(error instanceof Stopped)) throw error;
      });
    }
  });
  return { journal, ended: Promise.all(people) };
}

/** @returns nothing when there was no answer in time */
async function ask(url: string, { method, path, body, headers }: Question): Promise<Answer | undefined> {
  try {
    const response = await fetch(url + path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(answerLimitMs),
    });
    const text = await response.text();
    const cookies = response.headers.getSetCookie();
    const token = cookies.flatMap((line) => /^access_token=([^;]+)/.exec(line)?.[1] ?? []).at(0);
    return { status: response.status, body: JSON.parse(text || "{}") as Answer["body"], token };
  } catch {
    return undefined;
  }
}

/** Registers at a node and is made a moderator by hand. @returns an access token */
export async function signUpModerator(url: string, database: Queried): Promise<string> {
  const answer = await ask(url, { method: "POST", path: "/api/v1/users/managers/", body: registration() });
  if (answer?.status !== 201) throw new Error(`no moderator: ${answer?.status ?? "no answer"}`);
  await database.query(
    "update users set role = 'MO', roles_held = array['RM', 'MO'], is_email_verified = true where id = $1",
    [answer.body["id"]],
  );
  return answer.token ?? "";
}
