import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { memoryCache } from "../../../../mixins/account-cache/memory-cache.ts";
import { account } from "./accounts.ts";
import { pass } from "./time.ts";

afterEach(() => void jest.restoreAllMocks());

describe("memory cache", () => {
  test("what was put is got, by its id alone", async () => {
    const cache = memoryCache();
    await cache.put(account());
    expect(await cache.get(7)).toEqual(account());
    expect(await cache.get(8)).toBeUndefined();
  });

  test("something older does not replace something newer, the same replaces itself", async () => {
    const cache = memoryCache();
    await cache.put(account({ revision: 5 }));
    await cache.put(account({ revision: 4, email: "old@example.com" }));
    expect(await cache.get(7)).toEqual(account({ revision: 5 }));
    await cache.put(account({ revision: 5, email: "same@example.com" }));
    expect((await cache.get(7))?.email).toBe("same@example.com");
  });

  test("outdated: what is older goes, what is as new stays", async () => {
    const cache = memoryCache();
    await cache.put(account({ revision: 5 }));
    await cache.outdated(7, 5);
    expect(await cache.get(7)).toBeDefined();
    await cache.outdated(8, 6);
    expect(await cache.get(7)).toBeDefined();
    await cache.outdated(7, 6);
    expect(await cache.get(7)).toBeUndefined();
  });

  test("after 5 s it has forgotten, read in between or not", async () => {
    const cache = memoryCache();
    await cache.put(account());
    await pass(4900);
    expect(await cache.get(7)).toBeDefined();
    await pass(200);
    expect(await cache.get(7)).toBeUndefined();
  });

  test("more than 20,000 accounts: the one that was asked for last stays", async () => {
    const cache = memoryCache();
    await cache.put(account({ id: 1 }));
    for (let id = 2; id <= 25_000; id++) {
      await cache.put(account({ id }));
      await cache.get(1);
    }
    const kept = await Promise.all(Array.from({ length: 25_000 }, (_, index) => cache.get(index + 1)));
    expect(kept.filter((each) => each !== undefined)).toHaveLength(20_000);
    expect(kept[0]).toBeDefined();
  });

  test("closed: it holds nobody's data any more", async () => {
    const cache = memoryCache();
    await cache.put(account());
    cache.close();
    expect(await cache.get(7)).toBeUndefined();
  });
});
