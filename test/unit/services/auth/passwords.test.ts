import { createHmac } from "node:crypto";
import { availableParallelism } from "node:os";
import { describe, expect, test } from "@jest/globals";
import bcrypt from "bcrypt";
import { createPasswords } from "../../../../services/auth/passwords.ts";

const [pepper, otherPepper] = ["a-pepper-0123456789-abcdefghijklm", "another-pepper-9876543210-zyxwvut"];
/** Four rounds: what is tested here does not depend on the cost. */
const settings = { hashCost: 4, pepper, previousPepper: undefined };
const passwords = createPasswords(settings);
const stored = await passwords.hash("correct horse battery");
const good = { matches: true, outdated: false };
const bad = { matches: false, outdated: false };

describe("hash", () => {
  test("names scheme and pepper before a bcrypt hash of the configured cost, which the database can hold", () => {
    expect(stored).toMatch(/^v1:[0-9a-f]{8}:\$2b\$04\$[./A-Za-z0-9]{53}$/);
  });

  test("tells neither the password nor the pepper", () => {
    expect(stored).not.toContain("correct");
    expect(stored).not.toContain(pepper.slice(0, 8));
  });

  test("of the same password is another one each time: the salt is new", async () => {
    const hashes = await Promise.all([1, 2, 3].map(() => passwords.hash("correct horse battery")));
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
    expect(await passwords.verify("correct horse battery", stored)).toEqual(good);
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
    expect(await passwords.verify(typed, stored)).toEqual(bad);
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
    const hash = await passwords.hash(typed);
    expect(await passwords.verify(typed, hash)).toEqual(good);
    expect(await passwords.verify(other, hash)).toEqual(bad);
  });

  test("the same text composed differently by another keyboard is the same password, both ways", async () => {
    const [composed, decomposed] = ["pässwörd-Ångström".normalize("NFC"), "pässwörd-Ångström".normalize("NFD")];
    expect(composed).not.toBe(decomposed);
    expect(await passwords.verify(decomposed, await passwords.hash(composed))).toEqual(good);
    expect(await passwords.verify(composed, await passwords.hash(decomposed))).toEqual(good);
  });

  test("look-alikes are other passwords: no compatibility form, no case folding", async () => {
    expect(await passwords.verify("ﬁsh and chips", await passwords.hash("fish and chips"))).toEqual(bad);
    expect(await passwords.verify("STRASSE-straße", await passwords.hash("strasse-strasse"))).toEqual(bad);
  });
});

describe("verify: outdated hashes still match, and say that they are outdated", () => {
  const outdated = { matches: true, outdated: true };

  test("after a change of the pepper", async () => {
    const rotated = createPasswords({ hashCost: 4, pepper: otherPepper, previousPepper: pepper });
    expect(await rotated.verify("correct horse battery", stored)).toEqual(outdated);
    expect(await rotated.verify("correct horse battery", await rotated.hash("correct horse battery"))).toEqual(good);
  });

  test("a wrong password under an old pepper does not match all the same", async () => {
    const rotated = createPasswords({ hashCost: 4, pepper: otherPepper, previousPepper: pepper });
    expect((await rotated.verify("wrong horse battery", stored)).matches).toBe(false);
  });

  test("once the old pepper is gone, they match nothing", async () => {
    const forgotten = createPasswords({ hashCost: 4, pepper: otherPepper, previousPepper: undefined });
    expect(await forgotten.verify("correct horse battery", stored)).toEqual(bad);
  });

  test("hashes from before there was a pepper", async () => {
    const before = createPasswords({ hashCost: 4, pepper: undefined, previousPepper: undefined });
    const bare = await before.hash("correct horse battery");
    expect(bare).toMatch(/^v1:none:/);
    expect(await before.verify("correct horse battery", bare)).toEqual(good);
    expect(await passwords.verify("correct horse battery", bare)).toEqual(outdated);
  });

  test.each([5, 6])("after the cost rose to %d", async (hashCost) => {
    const dearer = createPasswords({ ...settings, hashCost });
    expect(await dearer.verify("correct horse battery", stored)).toEqual(outdated);
    expect(await dearer.hash("x")).toContain(`$2b$0${hashCost}$`);
  });

  test("after the cost fell", async () => {
    const dear = await createPasswords({ ...settings, hashCost: 5 }).hash("correct horse battery");
    expect(await passwords.verify("correct horse battery", dear)).toEqual(outdated);
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
    expect(await passwords.verify("correct horse battery", useless)).toEqual(bad);
  });

  test.each([
    ["an empty hash", `v1:${id}:`],
    ["a hash that is none", `v1:${id}:nonsense`],
    ["half a hash", `v1:${id}:${hash.slice(0, 30)}`],
  ])("%s matches nothing and breaks nothing", async (_, broken) => {
    expect((await passwords.verify("correct horse battery", broken)).matches).toBe(false);
  });

  test("costs as much as what can be used: nobody learns by the clock which addresses exist", async () => {
    const dear = createPasswords({ ...settings, hashCost: 9 });
    const real = await dear.hash("correct horse battery");
    const cases = { known: real, unknown: undefined, unusable: "v9:x:y" };
    const least = { known: Infinity, unknown: Infinity, unusable: Infinity };
    // This process's time on the processor, so that what else runs on the machine does not count; one after the other.
    for (let i = 0; i < 6; i++) {
      for (const name of ["known", "unknown", "unusable"] as const) {
        const before = process.cpuUsage();
        await dear.verify("wrong horse battery", cases[name]);
        least[name] = Math.min(least[name], process.cpuUsage(before).user);
      }
    }
    for (const time of [least.unknown, least.unusable]) {
      expect(time / least.known).toBeGreaterThan(0.6);
      expect(time / least.known).toBeLessThan(1.7);
    }
  });
});

describe("a flood of hashes", () => {
  test("is refused beyond the queue and not queued for ever", async () => {
    const busy = createPasswords({ ...settings, hashCost: 5 });
    const room = 33 * availableParallelism();
    const results = await Promise.allSettled(Array.from({ length: room + 20 }, () => busy.hash("x")));
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused).toHaveLength(20);
    expect(refused[0]?.reason).toMatchObject({ type: "unavailable" });
    expect(await busy.verify("x", await busy.hash("x"))).toEqual(good);
  });
});
