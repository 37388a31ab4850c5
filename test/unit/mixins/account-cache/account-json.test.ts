import { describe, expect, test } from "@jest/globals";
import { readAccount, writeAccount } from "../../../../mixins/account-cache/account-json.ts";
import { account } from "./accounts.ts";

const kept = JSON.parse(writeAccount(account())) as Record<string, unknown>;
const profile = kept["profile"] as Record<string, unknown>;

describe("an account as JSON", () => {
  test.each([
    ["with everything", account()],
    ["with nothing that may be missing", account({ lastLogin: null, pendingEmail: null, rolesHeld: [] })],
    ["without a picture", account({ profile: { ...account().profile, imagePath: null } })],
    ["with an address that waits", account({ pendingEmail: "new@example.com" })],
  ])("%s: comes back as it was", (_, written) => {
    expect(readAccount(writeAccount(written))).toEqual(written);
  });

  test.each<[string, string]>([
    ["nothing", ""],
    ["no JSON", "{"],
    ["null", "null"],
    ["a number", "7"],
    ["a list", "[]"],
    ["an empty object", "{}"],
    ["an unknown role", JSON.stringify({ ...kept, role: "XX" })],
    ["roles that are no list", JSON.stringify({ ...kept, rolesHeld: "CU" })],
    ["a revision that is text", JSON.stringify({ ...kept, revision: "3" })],
    ["a time that is none", JSON.stringify({ ...kept, lastLogin: "yesterday" })],
    ["a mark that is a number", JSON.stringify({ ...kept, isActive: 1 })],
    ["no profile", JSON.stringify({ ...kept, profile: null })],
    ["a profile without a name", JSON.stringify({ ...kept, profile: { ...profile, firstName: undefined } })],
  ])("%s: is none", (_, json) => {
    expect(readAccount(json)).toBeUndefined();
  });

  test.each(Object.keys(kept))("without its %s: is none", (field) => {
    expect(readAccount(JSON.stringify({ ...kept, [field]: undefined }))).toBeUndefined();
  });
});
