import { describe, expect, test } from "@jest/globals";
import { readEmail, readProfile, tooYoung } from "../../../../mixins/accounts/profile-input.ts";
import { now, thrown } from "../../helpers.ts";

const rules = { minAge: { CU: 16, CO: 18, RM: 18, MO: 18 } };
const sent = { first_name: " Anna ", last_name: "Kowalska", phone: "+48 512 345 678", birth_date: "1990-05-17" };
const fieldsOf = (run: () => unknown): unknown => (thrown(run) as { data?: { fields?: unknown } }).data?.fields;

describe("readEmail", () => {
  test("reads an address in both spellings", () => {
    expect(readEmail("Anna@Example.com")).toEqual({ address: "Anna@example.com", canonical: "anna@example.com" });
  });

  test("refuses everything else by the name of its field", () => {
    expect(fieldsOf(() => readEmail("a@b.co,evil@x.co"))).toEqual({ email: "Enter a valid email address." });
  });
});

describe("readProfile", () => {
  test("gives every field in the form in which it is stored", () => {
    expect(readProfile(rules, sent, { role: "CU", now })).toEqual({
      firstName: "Anna",
      lastName: "Kowalska",
      phone: "+48512345678",
      birthDate: "1990-05-17",
    });
  });

  test("of a part it gives that part alone", () => {
    expect(readProfile(rules, { last_name: "Nowak" }, { role: "CU", now })).toEqual({ lastName: "Nowak" });
    expect(readProfile(rules, {}, { role: "CU", now })).toEqual({});
  });

  test("names every field that is wrong, at once and without its value", () => {
    const wrong = { first_name: "An\u0000na", last_name: "  ", phone: "911", birth_date: "2000-02-31" };
    expect(fieldsOf(() => readProfile(rules, wrong, { role: "CU", now }))).toEqual({
      "user_profile.first_name": "Enter a name without control characters.",
      "user_profile.last_name": "This field may not be blank.",
      "user_profile.phone": "Enter a valid phone number.",
      "user_profile.birth_date": "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.",
    });
  });

  test.each([
    ["the 16th birthday", "2010-03-15", "CU", undefined],
    ["a day before it", "2010-03-16", "CU", "You must be at least 16 years old."],
    ["a courier's 18th birthday", "2008-03-15", "CO", undefined],
    ["a courier a day before it", "2008-03-16", "CO", "You must be at least 18 years old."],
  ] as const)("%s", (_, birthDate, role, problem) => {
    const read = () => readProfile(rules, { birth_date: birthDate }, { role, now });
    expect(tooYoung(rules, role, birthDate, now)).toBe(problem);
    if (problem === undefined) expect(read()).toEqual({ birthDate });
    else expect(fieldsOf(read)).toEqual({ "user_profile.birth_date": problem });
  });

  test("a birth date that stands already is not questioned, whatever the rules have become", () => {
    const tooLate = "2015-01-01";
    expect(readProfile(rules, { birth_date: tooLate }, { role: "CU", birthDate: tooLate, now })).toEqual({
      birthDate: tooLate,
    });
    expect(
      fieldsOf(() => readProfile(rules, { birth_date: tooLate }, { role: "CU", birthDate: "2014-01-01", now })),
    ).toEqual({
      "user_profile.birth_date": "You must be at least 16 years old.",
    });
  });
});
