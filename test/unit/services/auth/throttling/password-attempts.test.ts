import { expect, test } from "@jest/globals";
import { ServiceError } from "../../../../../lib/errors.ts";
import { keyRing } from "../../../../../lib/keys.ts";
import { attemptPassword } from "../../../../../services/auth/throttling/password-attempts.ts";
import { ofAddress } from "../../../../../services/auth/throttling/subjects.ts";
import { keyOf, Throttle } from "../../../../../services/auth/throttling/throttle.ts";
import { actor, config, rejection, secrets } from "../../../helpers.ts";

/** As PostgreSQL and Redis count, without a clock. */
function inMemory() {
  const counts = new Map<string, number>();
  const more = (key: string, by: number) => {
    const count = (counts.get(key) ?? 0) + by;
    counts.set(key, count);
    return Promise.resolve({ count, resetMs: 900_000 });
  };
  return {
    add: (key: string) => more(key, 1),
    set: (key: string, count: number) => Promise.resolve(void counts.set(key, count)),
    settle: async ({ forget = [], takeBack = [] }: { forget?: readonly string[]; takeBack?: readonly string[] }) => {
      for (const key of forget) counts.delete(key);
      for (const key of takeBack) await more(key, -1);
    },
    close: () => undefined,
  };
}

test("a block begins while others wait for their turn: that these hang up does not end it", async () => {
  const counters = inMemory();
  const refusals = { tell: () => undefined };
  const throttle = new Throttle(config().budgets, counters, refusals);
  const deps = {
    throttle,
    refusals,
    db: { query: () => Promise.resolve([]) },
    keys: { device: keyRing(secrets, "device-token") },
  };
  const attempt = (compare: () => Promise<object>) =>
    attemptPassword(deps, { canonicalEmail: "anna@example.com" }, actor(), compare);
  const wrong = () => Promise.resolve({});
  for (let nth = 0; nth < 4; nth++) await attempt(wrong);
  // A quarter of an hour later: what was spent is forgotten, and four in a row are not.
  await counters.settle({ forget: [keyOf("wrong-passwords", ofAddress("anna@example.com"))] });
  const hangingUp = Promise.withResolvers<never>();
  const waiting = Array.from({ length: 4 }, () => rejection(attempt(() => hangingUp.promise)));
  await attempt(wrong);
  hangingUp.reject(new ServiceError("unavailable"));
  expect(await Promise.all(waiting)).toMatchObject(waiting.map(() => ({ type: "unavailable" })));
  expect(await rejection(attempt(wrong))).toMatchObject({ type: "too_many_requests" });
});
