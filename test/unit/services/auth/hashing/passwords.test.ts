import { createHmac, pbkdf2Sync } from "node:crypto";
import { availableParallelism } from "node:os";
import { afterAll, describe, expect, test } from "@jest/globals";
import bcrypt from "bcrypt";
import type { Config } from "../../../../../lib/config.ts";
import { silentLog } from "../../../../../lib/log.ts";
import { AbandonedCalls } from "../../../../../services/auth/abandoned-calls.ts";
import { createPasswords, type Passwords } from "../../../../../services/auth/hashing/passwords.ts";
import { actor as actorOf, rejection } from "../../../helpers.ts";

const [pepper, otherPepper] = ["a-pepper-0123456789-abcdefghijklm", "another-pepper-9876543210-zyxwvut"];
/** Four rounds: what is tested here does not depend on the cost. */
const settings = { hashCost: 4, pepper, previousPepper: undefined };
const open: Passwords[] = [];
const create = (config: Config["password"]): Passwords => {
  const created = createPasswords(config, silentLog, new AbandonedCalls());
  open.push(created);
  return created;
};
const passwords = create(settings);
const actor = actorOf();
const stored = await passwords.hash("correct horse battery", actor);
const good = { matches: true, outdated: false };
const bad = { matches: false, outdated: false };

afterAll(async () => {
  for (const created of open) await created.close();
});

describe("hash", () => {
  test("names scheme and pepper before a bcrypt hash of the configured cost, which the database can hold", () => {
    expect(stored).toMatch(/^v1:[0-9a-f]{8}:\$2b\$04\$[./A-Za-z0-9]{53}$/);
  });

  test("tells neither the password nor the pepper", () => {
    expect(stored).not.toContain("correct");
    expect(stored).not.toContain(pepper.slice(0, 8));
  });

  test("of the same password is another one each time: the salt is new", async () => {
    const hashes = await Promise.all([1, 2, 3].map(() => passwords.hash("correct horse battery", actor)));
    expect(new Set(hashes).size).toBe(3);
  });

  test("gives bcrypt base64(HMAC-SHA-384): 64 characters without NUL, never the password itself", async () => {
    const input = createHmac("sha384", pepper).update("correct horse battery").digest("base64");
    expect(input).toHaveLength(64);
    const hash = stored.split(":")[2] ?? "";
    expect(await bcrypt.compare(input, hash)).toBe(true);
    expect(await bcrypt.compare("correct horse battery", hash)).toBe(false);
  });
});

describe("verify: the password counts exactly as it was typed", () => {
  test("the right one matches", async () => {
    expect(await passwords.verify("correct horse battery", stored, actor)).toEqual(good);
  });

  test.each([
    ["another one", "correct horse batterx"],
    ["nothing", ""],
    ["space before it", " correct horse battery"],
    ["space behind it", "correct horse battery "],
    ["a line break behind it", "correct horse battery\n"],
    ["another case", "Correct horse battery"],
    ["one character less", "correct horse batter"],
    ["NUL behind it", "correct horse battery\u0000"],
    ["the stored hash itself", stored],
  ])("%s does not", async (_, typed) => {
    expect(await passwords.verify(typed, stored, actor)).toEqual(bad);
  });

  test.each([
    ["the 73rd byte", "a".repeat(72) + "b", "a".repeat(72) + "c"],
    ["what stands behind 72 bytes", "a".repeat(72), "a".repeat(73)],
    ["the 37th two-byte character", "é".repeat(36) + "a", "é".repeat(36) + "b"],
    ["the last of 128 four-byte characters", "😀".repeat(127) + "a", "😀".repeat(127) + "b"],
    ["what stands behind a NUL", "before\u0000after", "before\u0000other"],
    ["a NUL", "before\u0000after", "before"],
    ["a leading NUL", "\u0000secret-1", "\u0000secret-2"],
  ])("%s counts", async (_, typed, other) => {
    const hash = await passwords.hash(typed, actor);
    expect(await passwords.verify(typed, hash, actor)).toEqual(good);
    expect(await passwords.verify(other, hash, actor)).toEqual(bad);
  });

  test("the same text composed differently by another keyboard is the same password, both ways", async () => {
    const [composed, decomposed] = ["pässwörd-Ångström".normalize("NFC"), "pässwörd-Ångström".normalize("NFD")];
    expect(composed).not.toBe(decomposed);
    expect(await passwords.verify(decomposed, await passwords.hash(composed, actor), actor)).toEqual(good);
    expect(await passwords.verify(composed, await passwords.hash(decomposed, actor), actor)).toEqual(good);
  });

  test("look-alikes are other passwords: no compatibility form, no case folding", async () => {
    expect(await passwords.verify("ﬁsh and chips", await passwords.hash("fish and chips", actor), actor)).toEqual(bad);
    expect(await passwords.verify("STRASSE-straße", await passwords.hash("strasse-strasse", actor), actor)).toEqual(
      bad,
    );
  });
});

describe("verify: outdated hashes still match, and say that they are outdated", () => {
  const outdated = { matches: true, outdated: true };

  test("after a change of the pepper", async () => {
    const rotated = create({ hashCost: 4, pepper: otherPepper, previousPepper: pepper });
    expect(await rotated.verify("correct horse battery", stored, actor)).toEqual(outdated);
    expect(
      await rotated.verify("correct horse battery", await rotated.hash("correct horse battery", actor), actor),
    ).toEqual(good);
  });

  test("a wrong password under an old pepper does not match all the same", async () => {
    const rotated = create({ hashCost: 4, pepper: otherPepper, previousPepper: pepper });
    expect((await rotated.verify("wrong horse battery", stored, actor)).matches).toBe(false);
  });

  test("once the old pepper is gone, they match nothing", async () => {
    const forgotten = create({ hashCost: 4, pepper: otherPepper, previousPepper: undefined });
    expect(await forgotten.verify("correct horse battery", stored, actor)).toEqual(bad);
  });

  test("hashes from before there was a pepper", async () => {
    const before = create({ hashCost: 4, pepper: undefined, previousPepper: undefined });
    const bare = await before.hash("correct horse battery", actor);
    expect(bare).toMatch(/^v1:none:/);
    expect(await before.verify("correct horse battery", bare, actor)).toEqual(good);
    expect(await passwords.verify("correct horse battery", bare, actor)).toEqual(outdated);
  });

  test.each([5, 6])("after the cost rose to %d", async (hashCost) => {
    const dearer = create({ ...settings, hashCost });
    expect(await dearer.verify("correct horse battery", stored, actor)).toEqual(outdated);
    expect(await dearer.hash("x", actor)).toContain(`$2b$0${hashCost}$`);
  });

  test("after the cost fell", async () => {
    const dear = await create({ ...settings, hashCost: 5 }).hash("correct horse battery", actor);
    expect(await passwords.verify("correct horse battery", dear, actor)).toEqual(outdated);
  });
});

describe("verify: what is stored and cannot be used", () => {
  const [, id = "", hash = ""] = stored.split(":");

  test.each([
    ["nothing", undefined],
    ["an empty text", ""],
    ["an unknown scheme", `v9:${id}:${hash}`],
    ["no scheme", hash],
    ["an unknown pepper", `v1:00000000:${hash}`],
    ["no hash", `v1:${id}`],
    ["a password that an import left unusable (Django)", "!abcdefghijklmnopqrstuvwxyz"],
    ["another scheme's hash (Django)", "pbkdf2_sha256$600000$salt$hash"],
  ])("%s matches nothing, not even the right password", async (_, useless) => {
    expect(await passwords.verify("correct horse battery", useless, actor)).toEqual(bad);
  });

  test.each([
    ["an empty hash", `v1:${id}:`],
    ["a hash that is none", `v1:${id}:nonsense`],
    ["half a hash", `v1:${id}:${hash.slice(0, 30)}`],
  ])("%s matches nothing and breaks nothing", async (_, broken) => {
    expect((await passwords.verify("correct horse battery", broken, actor)).matches).toBe(false);
  });

  test("costs as much as what can be used: nobody learns by the clock which addresses exist", async () => {
    const dear = create({ ...settings, hashCost: 9 });
    const real = await dear.hash("correct horse battery", actor);
    const older = await create({ ...settings, hashCost: 7 }).hash("correct horse battery", actor);
    const cases = { known: real, older, unknown: undefined, unusable: "v9:x:y" };
    const least = { known: Infinity, older: Infinity, unknown: Infinity, unusable: Infinity };
    // This process's time on the processor, so that what else runs on the machine does not count; one after the other.
    for (let i = 0; i < 6; i++) {
      for (const name of ["known", "older", "unknown", "unusable"] as const) {
        const before = process.cpuUsage();
        await dear.verify("wrong horse battery", cases[name], actor);
        least[name] = Math.min(least[name], process.cpuUsage(before).user);
      }
    }
    for (const time of [least.older, least.unknown, least.unusable]) {
      expect(time / least.known).toBeGreaterThan(0.6);
      expect(time / least.known).toBeLessThan(1.7);
    }
  });
});

describe("verify: what was imported from Django", () => {
  const imported =
    "pbkdf2_sha256$1000$1234567890abcdef1234567$" +
    pbkdf2Sync("correct horse battery", "1234567890abcdef1234567", 1000, 32, "sha256").toString("base64");

  test("matches the right password and says that it is outdated", async () => {
    expect(await passwords.verify("correct horse battery", imported, actor)).toEqual({ matches: true, outdated: true });
    expect((await passwords.verify("wrong horse battery", imported, actor)).matches).toBe(false);
  });
});

describe("a flood of hashes", () => {
  const cores = availableParallelism();

  test.each([
    ["16 a core at cost 10 and below", 4, 16],
    ["half of that for each step of the cost, which doubles the time", 11, 8],
  ])("is refused at once beyond a second's work: %s", async (_, hashCost, waiting) => {
    const busy = create({ ...settings, hashCost });
    const room = (waiting + 1) * cores;
    const begun = performance.now();
    const jobs = Array.from({ length: room + 20 }, () => busy.hash("x", actorOf({ call: "flood" })));
    const results = Promise.allSettled(jobs);
    const refused = await Promise.all(jobs.slice(room).map(rejection));
    expect(performance.now() - begun).toBeLessThan(500);
    for (const error of refused) expect(error).toMatchObject({ type: "unavailable" });
    busy.abandon("flood");
    const done = (await results).filter(({ status }) => status === "fulfilled");
    // Those that ran already, and no others.
    expect(done).toHaveLength(cores);
    expect(await busy.verify("x", await busy.hash("x", actor), actor)).toEqual(good);
  });

  test("ends at once when the service stops", async () => {
    const stopping = create({ ...settings, hashCost: 10 });
    const jobs = [1, 2, 3, 4, 5, 6].map(() => rejection(stopping.hash("x", actor)));
    await stopping.close();
    for (const error of await Promise.all(jobs)) expect(error).toMatchObject({ type: "unavailable" });
  });
});
