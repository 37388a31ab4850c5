import { createRequire } from "node:module";
import { describe, expect, test } from "@jest/globals";
import { ServiceError } from "../../../../lib/errors.ts";
import type { Account } from "../../../../mixins/accounts/account.ts";
import { checkAccountPassword, checkNewPassword } from "../../../../services/auth/password-policy.ts";
import { thrown } from "../../helpers.ts";

const known = ["anna.kowalska@example.com", "Anna", "Kowalska-Nowak", "Eat Express"];
const accept = (password: string) => expect(() => checkNewPassword("password", password, known)).not.toThrow();
function sentenceFor(password: string, field = "password"): string | undefined {
  const error = thrown(() => checkNewPassword(field, password, known));
  if (!(error instanceof ServiceError)) throw error;
  expect(error.type).toBe("invalid_input");
  return error.data.fields?.[field];
}

describe("checkNewPassword: what is accepted", () => {
  test.each([
    ["8 characters", "k7#mQ2xz"],
    ["128 characters", "k7 ".repeat(42) + "zz"],
    ["128 four-byte characters", "😀🎉".repeat(64)],
    ["8 four-byte characters", "😀🎉🚀🌍🍕🎸🐙🦊"],
    ["only small letters", "correct horse battery"],
    ["only digits that are no pattern", "83650917"],
    ["spaces inside and around", "  k7 mQ 2x  "],
    ["another script", "правильная лошадь"],
    ["control characters", "k7\u0000mQ\t2xz"],
    ["SQL and markup", "'; drop table users; <b>"],
    ["a name among other words", "Annas red bicycle 1987"],
  ])("%s", (_, password) => {
    accept(password);
  });
});

describe("checkNewPassword: what is refused", () => {
  const tooShort = "This password is too short. It must contain at least 8 characters.";
  const tooLong = "This password is too long. It must contain at most 128 characters.";

  test.each([
    ["nothing", "", tooShort],
    ["7 characters", "k7#mQ2x", tooShort],
    ["7 four-byte characters: code points count, not units", "😀🎉🚀🌍🍕🎸🐙", tooShort],
    ["129 characters", "k7 ".repeat(43), tooLong],
    ["129 four-byte characters", "😀".repeat(129), tooLong],
    ["half a surrogate pair", "k7#mQ2xz\ud83d", "This password has a character that is not valid."],
  ])("%s", (_, password, sentence) => {
    expect(sentenceFor(password)).toBe(sentence);
  });

  test.each([
    ["the address", "anna.kowalska@example.com"],
    ["the address in capitals", "ANNA.KOWALSKA@EXAMPLE.COM"],
    ["the address's name", "anna.kowalska"],
    ["a name", "kowalska-nowak"],
    ["the company", "EatExpress"],
    ["the company with other spaces", "eat  express"],
    ["a name in another composition", "Kowalska-Nowak".normalize("NFD")],
  ])("%s", (_, password) => {
    expect(sentenceFor(password)).toBe("This password is too similar to your personal information.");
  });

  test("no sentence repeats what was typed", () => {
    for (const password of ["k7#mQ2x", "k7#mQ2xz".repeat(17), "anna.kowalska", "k7#mQ2xz\ud83d"]) {
      expect(sentenceFor(password)).not.toContain(password);
    }
  });

  const accepted = (passwords: readonly string[]) =>
    passwords.filter((password) => {
      try {
        checkNewPassword("password", password, known);
        return true;
      } catch {
        return false;
      }
    });

  test("what everybody tries first (ASVS 6.2.4: the 3,000 most common)", () => {
    const common = ["password", "12345678", "123456789", "qwertyuiop", "iloveyou", "football", "password1", "11111111"];
    expect(accepted(common)).toEqual([]);
  });

  test("each of the 3,000 most common that are long enough (ASVS 6.2.4), as the list has them", () => {
    const { dictionary } = createRequire(import.meta.url)("@zxcvbn-ts/language-common") as {
      dictionary: { "passwords-common": readonly string[] };
    };
    const common = dictionary["passwords-common"].filter((word) => Array.from(word).length >= 8).slice(0, 3000);
    expect(common).toHaveLength(3000);
    expect(common).toEqual(expect.arrayContaining(["japanese", "bookworm", "21071987", "27031992"]));
    expect(accepted(common)).toEqual([]);
  });

  test("a known word and a little more (ASVS 6.2.11: context words)", () => {
    expect(accepted(["anna.kowalska1", "EatExpress!", "Kowalska-Nowak1990"])).toEqual([]);
  });

  test("the field that was sent is the field that is named", () => {
    expect(sentenceFor("short", "new_password")).toBe(tooShort);
  });
});

describe("checkAccountPassword", () => {
  const check = (password: string) => () =>
    checkAccountPassword({ companyName: "Eat Express" }, "new_password", password, account);
  const account = {
    email: "anna.kowalska@example.com",
    profile: { firstName: "Katarzynowa", lastName: "Kowalska-Nowak" },
  } as Account;

  test.each([
    ["the address", "anna.kowalska@example.com"],
    ["the address's name", "Anna.Kowalska12"],
    ["the first name", "katarzynowa"],
    ["the last name", "kowalska-nowak"],
    ["the company", "EatExpress"],
  ])("%s: refused at the field that was sent", (_, password) => {
    const error = thrown(check(password));
    const fields = { new_password: "This password is too similar to your personal information." };
    expect(error instanceof ServiceError && [error.type, error.data.fields]).toEqual(["invalid_input", fields]);
  });

  test("what is not about the account is accepted", () => {
    expect(check("seven bicycles in the rain")).not.toThrow();
  });
});
