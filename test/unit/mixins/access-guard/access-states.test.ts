import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { setImmediate as nextTurn, setTimeout as realPause } from "node:timers/promises";
import { ServiceError } from "../../../../lib/errors.ts";
import { AccessStates, type AccessSource } from "../../../../mixins/access-guard/access-states.ts";
import type { AccessChanges, AccessState } from "../../../../mixins/accounts/access.repository.ts";
import { rejection } from "../../helpers.ts";

const stateOf = (user_id: number, changes: Partial<AccessState> = {}): AccessState => ({
  user_id,
  session_id: `session of ${user_id}`,
  revision: 1,
  role: "CU",
  is_active: true,
  is_email_verified: true,
  is_staff: false,
  session_epoch: 0,
  session_ended: false,
  ...changes,
});
interface Question {
  /** User ids. */
  readonly of: number[];
  readonly timeoutMs: number;
  readonly answer: (...states: AccessState[]) => Promise<void>;
  readonly fail: (error: Error) => Promise<void>;
}
const noChanges: AccessChanges = { accounts: [], session_ids: [] };

/** States over a source whose answers are given by hand, one question after the other. */
function heldStates() {
  const questions: Question[] = [];
  const changes = jest.fn<AccessSource["changes"]>(() => Promise.resolve(noChanges));
  const states = new AccessStates({
    states: (of, timeoutMs) => {
      const { promise, resolve, reject } = Promise.withResolvers<AccessState[]>();
      const settled = async (settle: () => void) => {
        settle();
        await nextTurn();
      };
      questions.push({
        of: of.map(({ user_id }) => user_id),
        timeoutMs,
        answer: (...found) => settled(() => resolve(found)),
        fail: (error) => settled(() => reject(error)),
      });
      return promise;
    },
    changes,
  });
  const load = (userId: number, sessionId = `session of ${userId}`) => states.load(userId, sessionId);
  const known = (userId: number, sessionId = `session of ${userId}`) => states.known(userId, sessionId);
  /** The nth question, once its turn has come. */
  const question = async (nth: number): Promise<Question> => {
    await nextTurn();
    for (let tries = 0; questions.length <= nth && tries < 1000; tries++) await realPause(1);
    const asked = questions[nth];
    if (!asked) throw new Error(`there were ${questions.length} questions`);
    return asked;
  };
  /** As the first question. */
  const loadNow = async (userId: number): Promise<void> => {
    const loading = load(userId);
    await (await question(0)).answer(stateOf(userId));
    await loading;
  };
  return { states, load, loadNow, known, question, questions, changes };
}
/** Over one that answers at once: with what `stand` says, or a good state. */
function openStates(stand: Record<number, Partial<AccessState>> = {}) {
  const asked: number[][] = [];
  const changes = jest.fn<AccessSource["changes"]>(() => Promise.resolve(noChanges));
  const states = new AccessStates({
    states: (of) => {
      asked.push(of.map(({ user_id }) => user_id));
      return Promise.resolve(of.map(({ user_id, session_id }) => stateOf(user_id, { session_id, ...stand[user_id] })));
    },
    changes,
  });
  const load = (userId: number) => states.load(userId, `session of ${userId}`);
  const known = (userId: number) => states.known(userId, `session of ${userId}`);
  return { states, asked, load, known, changes };
}
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

beforeEach(() => {
  // Turns of the event loop stay real, only time stands still.
  jest.useFakeTimers({ doNotFake: ["setImmediate", "nextTick", "queueMicrotask"] });
});
afterEach(() => {
  jest.useRealTimers();
});
const pass = (seconds: number) => jest.advanceTimersByTime(seconds * 1000);

describe("access states: asking", () => {
  test("many who want something in one turn: one question, within 800 ms", async () => {
    const { load, question, questions } = heldStates();
    const wanted = Promise.all(upTo(100).map((id) => load(id)));
    const { of, timeoutMs, answer } = await question(0);
    expect([of, timeoutMs]).toEqual([upTo(100), 800]);
    await answer(...upTo(100).map((id) => stateOf(id)));
    expect((await wanted).map((standing) => standing?.account.user_id)).toEqual(upTo(100));
    expect(questions).toHaveLength(1);
  });

  test("the same wanted by many, also while it is asked for: asked once, and everybody is answered", async () => {
    const { load, question, questions } = heldStates();
    const [one, two] = [load(7), load(7)];
    const { of, answer } = await question(0);
    const three = load(7);
    expect(of).toEqual([7]);
    await answer(stateOf(7, { role: "MO" }));
    expect((await Promise.all([one, two, three])).map((standing) => standing?.account.role)).toEqual([
      "MO",
      "MO",
      "MO",
    ]);
    expect(questions).toHaveLength(1);
  });

  test("while a question is under way the others gather for the next", async () => {
    const { load, question, questions } = heldStates();
    const first = load(1);
    const { answer } = await question(0);
    const others = [load(2), load(3)];
    await nextTurn();
    others.push(load(4));
    await nextTurn();
    expect(questions).toHaveLength(1);
    await answer(stateOf(1));
    expect(await first).toMatchObject({ account: { user_id: 1 } });
    const next = await question(1);
    expect(next.of).toEqual([2, 3, 4]);
    await next.answer(stateOf(2), stateOf(3), stateOf(4));
    expect(await Promise.all(others)).toHaveLength(3);
    expect(questions).toHaveLength(2);
  });

  test("those who come right after an answer share a question as well", async () => {
    const { load, question } = heldStates();
    const first = load(1);
    await (await question(0)).answer(stateOf(1));
    await first;
    const others = [load(2)];
    await nextTurn();
    others.push(load(3));
    const next = await question(1);
    expect(next.of).toEqual([2, 3]);
    await next.answer(stateOf(2), stateOf(3));
    expect(await Promise.all(others)).toHaveLength(2);
  });

  test("more than 500: as many questions as it takes, all at once", async () => {
    const { load, question, questions } = heldStates();
    const wanted = Promise.all(upTo(1100).map((id) => load(id)));
    await nextTurn();
    expect(questions.map(({ of }) => of.length)).toEqual([500, 500, 100]);
    for (const nth of [2, 0, 1]) {
      const { of, answer } = await question(nth);
      await answer(...of.map((id) => stateOf(id)));
    }
    expect(await wanted).toHaveLength(1100);
  });

  test("what came as an answer is known from then on, for this account and this session", async () => {
    const { load, known, states } = openStates({ 7: { session_ended: true } });
    expect(known(7)).toBeUndefined();
    expect(await load(7)).toEqual({ account: expect.objectContaining({ user_id: 7 }), sessionEnded: true });
    expect(known(7)).toEqual({ account: expect.objectContaining({ user_id: 7 }), sessionEnded: true });
    expect(states.known(7, "another session")).toBeUndefined();
    expect(states.known(8, "session of 7")).toBeUndefined();
  });

  test("no such account: said so, and asked again the next time", async () => {
    const { load, question, known } = heldStates();
    const first = load(7);
    await (await question(0)).answer();
    expect(await first).toBeUndefined();
    expect(known(7)).toBeUndefined();
    const second = load(7);
    await (await question(1)).answer(stateOf(7));
    expect(await second).toMatchObject({ sessionEnded: false });
  });

  test("the source fails: who asked is told, who gathered meanwhile is not, and the next question works", async () => {
    const { load, question } = heldStates();
    const [asking, same] = [load(1), load(1)].map((wanted) => rejection(wanted));
    const { fail } = await question(0);
    const gathered = load(2);
    const away = new Error("away");
    await fail(away);
    expect(await Promise.all([asking, same])).toEqual([away, away]);
    await (await question(1)).answer(stateOf(2));
    expect(await gathered).toMatchObject({ account: { user_id: 2 } });
    const again = load(1);
    await (await question(2)).answer(stateOf(1));
    expect(await again).toMatchObject({ account: { user_id: 1 } });
  });
});

describe("access states: an older read", () => {
  test("that comes back after a broadcast is not kept, and asked for again", async () => {
    const { states, load, known, question } = heldStates();
    const wanted = load(7);
    const { answer } = await question(0);
    states.accountChanged(7, 5);
    await answer(stateOf(7, { revision: 4 }));
    expect(known(7)).toBeUndefined();
    await (await question(1)).answer(stateOf(7, { revision: 5, is_active: false }));
    expect(await wanted).toMatchObject({ account: { revision: 5, is_active: false } });
    expect(known(7)).toMatchObject({ account: { is_active: false } });
  });

  test("one as new as the broadcast, or newer, is kept", async () => {
    const { states, load, known, question, questions } = heldStates();
    const wanted = [load(1), load(2)];
    const { answer } = await question(0);
    states.accountChanged(1, 5);
    states.accountChanged(2, 5);
    await answer(stateOf(1, { revision: 5 }), stateOf(2, { revision: 6 }));
    expect(await Promise.all(wanted)).toMatchObject([{ account: { revision: 5 } }, { account: { revision: 6 } }]);
    states.accountChanged(2, 6);
    expect([known(1), known(2), questions.length]).toEqual([expect.anything(), expect.anything(), 1]);
  });

  test("that was begun before another one and ends after it: neither kept nor given as an answer", async () => {
    const { states, question, load } = heldStates();
    // More than one question can carry, so that there are two at once about account 1.
    const wanted = [states.load(1, "a"), ...upTo(499).map((id) => load(id + 1)), states.load(1, "b")];
    const [early, late] = [await question(0), await question(1)];
    expect(late.of).toEqual([1]);
    await late.answer(stateOf(1, { session_id: "b", revision: 9, role: "MO" }));
    await early.answer(stateOf(1, { session_id: "a", revision: 8 }), ...upTo(499).map((id) => stateOf(id + 1)));
    expect(await wanted[0]).toMatchObject({ account: { revision: 9, role: "MO" } });
    expect(states.known(1, "a")).toMatchObject({ account: { revision: 9, role: "MO" } });
  });

  test("after three of them it cannot be known", async () => {
    const { states, load, question, questions } = heldStates();
    states.accountChanged(7, 5);
    const refused = rejection(load(7));
    for (const nth of [0, 1, 2]) await (await question(nth)).answer(stateOf(7, { revision: 4 }));
    expect(await refused).toEqual(new ServiceError("unavailable"));
    await nextTurn();
    expect(questions).toHaveLength(3);
  });

  test("ten seconds later no read is older any more: revisions of a restored backup count", async () => {
    const { states, load, known } = openStates({ 7: { revision: 4 } });
    states.accountChanged(7, 5);
    pass(9.9);
    expect(await rejection(load(7))).toMatchObject({ type: "unavailable" });
    pass(0.2);
    expect(await load(7)).toMatchObject({ account: { revision: 4 } });
    expect(known(7)).toMatchObject({ account: { revision: 4 } });
  });

  test("that saw a session alive which has ended meanwhile: it has ended", async () => {
    const { states, load, known, question } = heldStates();
    const wanted = load(7);
    const { answer } = await question(0);
    states.sessionsEnded(["session of 7"]);
    await answer(stateOf(7));
    expect([await wanted, known(7)]).toMatchObject([{ sessionEnded: true }, { sessionEnded: true }]);
  });
});

describe("access states: told that something changed", () => {
  test("an account: no longer known, until it was asked for again", async () => {
    const stand = { 7: { revision: 1, role: "CU" } } satisfies Record<number, Partial<AccessState>>;
    const { states, load, known } = openStates(stand);
    await load(7);
    states.accountChanged(7, 2);
    expect(known(7)).toBeUndefined();
    Object.assign(stand[7], { revision: 2, role: "MO" });
    expect(await load(7)).toMatchObject({ account: { role: "MO" } });
    expect(known(7)).toMatchObject({ account: { role: "MO" } });
  });

  test("what is known already, told late or twice: it stays known", async () => {
    const { states, load, known } = openStates({ 7: { revision: 3 } });
    await load(7);
    states.accountChanged(7, 2);
    states.accountChanged(7, 3);
    expect(known(7)).toMatchObject({ account: { revision: 3 } });
  });

  test("a session that has ended never lives again, whatever is read later", async () => {
    const { states, load, known } = openStates({ 7: { revision: 2 } });
    await load(7);
    states.sessionsEnded(["session of 7"]);
    expect(known(7)).toMatchObject({ sessionEnded: true });
    states.accountChanged(7, 2);
    expect(await load(7)).toMatchObject({ sessionEnded: true });
  });
});

describe("access states: the sync", () => {
  test("takes away what has changed and nothing else", async () => {
    const { states, load, known, changes } = openStates();
    await Promise.all([1, 2, 3].map(load));
    changes.mockResolvedValue({ accounts: [{ user_id: 1, revision: 2 }], session_ids: ["session of 2"] });
    await states.sync();
    expect([known(1), known(2), known(3)]).toMatchObject([undefined, { sessionEnded: true }, { sessionEnded: false }]);
  });

  test("a read begun before it that is older than what it tells is asked for again", async () => {
    const { states, load, loadNow, question, changes } = heldStates();
    await loadNow(1);
    const wanted = load(7);
    const { answer } = await question(1);
    changes.mockResolvedValue({ accounts: [{ user_id: 7, revision: 2 }], session_ids: [] });
    await states.sync();
    await answer(stateOf(7));
    await (await question(2)).answer(stateOf(7, { revision: 2 }));
    expect(await wanted).toMatchObject({ account: { revision: 2 } });
  });

  test("asks nobody while nothing is known", async () => {
    const { states, load, changes } = openStates();
    pass(600);
    await states.sync();
    expect(changes).not.toHaveBeenCalled();
    await load(7);
    pass(2);
    await states.sync();
    expect(changes.mock.calls).toEqual([[32]]);
  });

  test("looks 30 s back, and further by as long as it heard nothing", async () => {
    const { states, load, changes } = openStates();
    await load(7);
    pass(2);
    await states.sync();
    pass(40);
    changes.mockRejectedValueOnce(new Error("away"));
    await rejection(states.sync());
    pass(60);
    await states.sync();
    await states.sync();
    expect(changes.mock.calls).toEqual([[32], [70], [130], [30]]);
  });

  test("too much to be listed: everything is forgotten", async () => {
    const { states, load, known, changes } = openStates();
    await load(7);
    changes.mockResolvedValueOnce(null);
    await states.sync();
    expect(known(7)).toBeUndefined();
    await load(7);
    expect(known(7)).toBeDefined();
  });

  test("after a long silence: what is older than five minutes no longer counts, of all else the changes are listed", async () => {
    const { states, load, known, changes } = openStates();
    await load(7);
    pass(1000);
    await load(8);
    pass(299);
    await states.sync();
    expect([known(7), known(8), changes.mock.calls]).toEqual([undefined, expect.anything(), [[330]]]);
  });

  test("forgotten during a load: what was read before is asked for again", async () => {
    const { states, load, loadNow, known, question, changes } = heldStates();
    await loadNow(1);
    const wanted = load(7);
    const { answer } = await question(1);
    changes.mockResolvedValueOnce(null);
    await states.sync();
    await answer(stateOf(7));
    expect(known(7)).toBeUndefined();
    await (await question(2)).answer(stateOf(7, { is_active: false }));
    expect(await wanted).toMatchObject({ account: { is_active: false } });
  });
});

describe("access states: the source is away", () => {
  const away = () => Promise.reject(new Error("away"));

  test("what is known serves for 30 s after the last sync, and again once that works", async () => {
    const { states, load, known, changes } = openStates();
    pass(100);
    await states.sync();
    await load(7);
    changes.mockImplementation(away);
    for (let second = 0; second < 30; second += 2) {
      pass(2);
      await rejection(states.sync());
    }
    expect(known(7)).toBeDefined();
    pass(0.1);
    expect(known(7)).toBeUndefined();
    changes.mockResolvedValue(noChanges);
    await states.sync();
    expect(known(7)).toBeDefined();
  });

  test("the 30 s begin with the question of the last sync, not with its answer", async () => {
    const { states, load, known, changes } = openStates();
    await load(7);
    const { promise, resolve } = Promise.withResolvers<AccessChanges>();
    changes.mockReturnValueOnce(promise);
    const syncing = states.sync();
    pass(20);
    resolve(noChanges);
    await syncing;
    pass(10);
    expect(known(7)).toBeDefined();
    pass(0.1);
    expect(known(7)).toBeUndefined();
  });

  test("whoever is not known is asked for at once, also after those 30 s, and refused", async () => {
    const { load, known, question } = heldStates();
    pass(31);
    const refused = rejection(load(7));
    await (await question(0)).fail(new Error("away"));
    expect([await refused, known(7)]).toEqual([new Error("away"), undefined]);
  });
});

describe("access states: what nobody tells, an account deleted by hand for one", () => {
  test("counts for five minutes", async () => {
    const { states, load, known } = openStates();
    await load(7);
    for (let second = 0; second < 300; second += 2) {
      pass(2);
      await states.sync();
    }
    expect(known(7)).toBeDefined();
    pass(2);
    await states.sync();
    expect(known(7)).toBeUndefined();
  });

  test("the same for a session whose account was asked for again since", async () => {
    const { states, load, known } = openStates();
    await load(7);
    pass(200);
    await states.load(7, "another session");
    pass(101);
    await states.sync();
    expect([known(7), states.known(7, "another session")]).toEqual([undefined, expect.anything()]);
  });

  test("but nothing gets too old while the source is away: the 30 s are for everybody", async () => {
    const { states, load, known } = openStates();
    await load(7);
    pass(299);
    await states.sync();
    pass(29);
    expect(known(7)).toBeDefined();
  });
});

describe("access states: memory", () => {
  test("of 100,000 accounts the 50,000 used last stay known", async () => {
    const { asked, load, known } = openStates();
    const everybody = upTo(100_000);
    for (let from = 0; from < everybody.length; from += 500)
      await Promise.all(everybody.slice(from, from + 500).map(load));
    expect(everybody.filter((id) => known(id) !== undefined)).toEqual(everybody.slice(50_000));
    expect(asked).toHaveLength(200);
  });

  test("broadcasts about 100,000 others push out, and never pile up", async () => {
    const { states, load, known } = openStates();
    await load(7);
    for (const id of upTo(49_999)) states.accountChanged(100 + id, 1);
    expect(known(7)).toBeDefined();
    for (const id of upTo(50_000)) states.accountChanged(100_000 + id, 1);
    expect(known(7)).toBeUndefined();
    await load(8);
    states.sessionsEnded(upTo(50_000).map((id) => `another ${id}`));
    expect(known(8)).toBeUndefined();
  });
});
