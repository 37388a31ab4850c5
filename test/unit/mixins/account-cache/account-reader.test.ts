import { afterEach, describe, expect, jest, test } from "@jest/globals";
import type { AccountCache } from "../../../../mixins/account-cache/account-cache.ts";
import { AccountReader } from "../../../../mixins/account-cache/account-reader.ts";
import { memoryCache } from "../../../../mixins/account-cache/memory-cache.ts";
import type { Account } from "../../../../mixins/accounts/account.ts";
import { rejection } from "../../helpers.ts";
import { account } from "./accounts.ts";
import { pass } from "./time.ts";

afterEach(() => void jest.restoreAllMocks());

/** A database whose answers wait until they are let go: each is what was there when the question was put. */
function slowDatabase(first: Account | undefined) {
  let current = first;
  const reads: { readonly seen: Account | undefined; readonly answer: (account: Account | undefined) => void }[] = [];
  const read = jest.fn(() => {
    const { promise, resolve } = Promise.withResolvers<Account | undefined>();
    reads.push({ seen: current, answer: resolve });
    return promise;
  });
  return {
    read,
    commit: (next: Account) => void (current = next),
    answer: (which: number) => reads[which]?.answer(reads[which].seen),
  };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A cache that lost every `outdated` and keeps whatever it is given. */
function forgetfulCache(kept: Account): AccountCache {
  const content = { account: kept };
  return {
    get: () => Promise.resolve(content.account),
    put: (next) => Promise.resolve(void (content.account = next)),
    works: () => Promise.resolve(true),
    outdated: () => Promise.resolve(),
    close: () => undefined,
  };
}

describe("account reader", () => {
  test("reads once, then answers from the cache", async () => {
    const read = jest.fn(() => Promise.resolve(account()));
    const reader = new AccountReader(memoryCache(), read);
    expect(await reader.find(7)).toEqual(account());
    expect(await reader.find(7)).toEqual(account());
    expect(read).toHaveBeenCalledTimes(1);
  });

  test("an account that is not there is asked for every time: it may be there soon", async () => {
    const read = jest.fn(() => Promise.resolve(undefined));
    const reader = new AccountReader(memoryCache(), read);
    expect([await reader.find(7), await reader.find(7)]).toEqual([undefined, undefined]);
    expect(read).toHaveBeenCalledTimes(2);
  });

  test("16 who ask at once: one read for all, one for each account", async () => {
    const database = slowDatabase(account());
    const reader = new AccountReader(memoryCache(), database.read);
    const asked = Promise.all(Array.from({ length: 16 }, () => reader.find(7)));
    const other = reader.find(8);
    await settled();
    expect(database.read.mock.calls).toEqual([[7], [8]]);
    database.answer(0);
    database.answer(1);
    expect(await asked).toEqual(Array.from({ length: 16 }, () => account()));
    await other;
  });

  test("the database is away: everybody who waits is told, and the next one asks again", async () => {
    const away = new Error("away");
    const read = jest.fn(() => Promise.reject<Account>(away));
    const reader = new AccountReader(memoryCache(), read);
    const [one, other] = [reader.find(7), reader.find(7)];
    expect(await rejection(one)).toBe(away);
    expect(await rejection(other)).toBe(away);
    read.mockImplementation(() => Promise.resolve(account()));
    expect(await reader.find(7)).toEqual(account());
  });

  test("closed: the cache is closed", () => {
    const cache = { ...forgetfulCache(account()), close: jest.fn() };
    new AccountReader(cache, () => Promise.resolve(undefined)).close();
    expect(cache.close).toHaveBeenCalledTimes(1);
  });
});

describe("account reader: a change", () => {
  const before = account({ revision: 3 });
  const after = account({ revision: 4, email: "new@example.com" });

  test("whoever asks after it gets it, with no turn of the event loop between", async () => {
    const database = { current: before };
    const reader = new AccountReader(memoryCache(), () => Promise.resolve(database.current));
    await reader.find(7);
    database.current = after;
    reader.changed(7, 4);
    expect(await reader.find(7)).toEqual(after);
  });

  test("a read from before it does not refill the cache, and serves nobody who asks after it", async () => {
    const database = slowDatabase(before);
    const reader = new AccountReader(memoryCache(), database.read);
    const early = reader.find(7);
    await settled();
    database.commit(after);
    reader.changed(7, 4);
    const late = reader.find(7);
    await settled();
    expect(database.read).toHaveBeenCalledTimes(2);
    database.answer(1);
    expect(await late).toEqual(after);
    database.answer(0);
    expect(await early).toEqual(before);
    expect(await reader.find(7)).toEqual(after);
    expect(database.read).toHaveBeenCalledTimes(2);
  });

  test("a read from before it that ends first: the cache stays empty, the next one reads", async () => {
    const database = slowDatabase(before);
    const cache = memoryCache();
    const reader = new AccountReader(cache, database.read);
    const early = reader.find(7);
    await settled();
    database.commit(after);
    reader.changed(7, 4);
    database.answer(0);
    expect(await early).toEqual(before);
    expect(await cache.get(7)).toBeUndefined();
    const late = reader.find(7);
    await settled();
    database.answer(1);
    expect(await late).toEqual(after);
    expect(await cache.get(7)).toEqual(after);
  });

  test("the end of a read from before it does not take the place of the one that runs", async () => {
    const database = slowDatabase(before);
    const reader = new AccountReader(memoryCache(), database.read);
    const early = reader.find(7);
    await settled();
    database.commit(after);
    reader.changed(7, 4);
    const late = reader.find(7);
    await settled();
    database.answer(0);
    await early;
    const joined = reader.find(7);
    await settled();
    expect(database.read).toHaveBeenCalledTimes(2);
    database.answer(1);
    expect(await Promise.all([late, joined])).toEqual([after, after]);
  });

  test("broadcasts that arrive in another order: the newest counts", async () => {
    const reader = new AccountReader(forgetfulCache(before), () => Promise.resolve(after));
    reader.changed(7, 4);
    reader.changed(7, 2);
    expect(await reader.find(7)).toEqual(after);
  });

  test("a cache that could not be told: what it still holds does not count on this node", async () => {
    const read = jest.fn(() => Promise.resolve(after));
    const reader = new AccountReader(forgetfulCache(before), read);
    expect(await reader.find(7)).toEqual(before);
    reader.changed(7, 4);
    expect(await reader.find(7)).toEqual(after);
    expect(await reader.find(7)).toEqual(after);
    expect(read).toHaveBeenCalledTimes(1);
  });

  test("a database that went back, from a backup: served, kept again after 10 s", async () => {
    const read = jest.fn(() => Promise.resolve(before));
    const reader = new AccountReader(memoryCache(), read);
    reader.changed(7, 4);
    expect([await reader.find(7), await reader.find(7)]).toEqual([before, before]);
    expect(read).toHaveBeenCalledTimes(2);
    await pass(10_100);
    expect([await reader.find(7), await reader.find(7)]).toEqual([before, before]);
    expect(read).toHaveBeenCalledTimes(3);
  });
});
