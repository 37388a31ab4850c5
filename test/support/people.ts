import { randomBytes } from "node:crypto";

export const password = "correct horse battery";
export const uniqueEmail = (name = "anna"): string => `${name}.${randomBytes(6).toString("hex")}@example.com`;

/** A registration that is accepted. */
export const registration = (changes: Record<string, unknown> = {}) => ({
  email: uniqueEmail(),
  password,
  user_profile: { first_name: "Anna", last_name: "Kowalska", phone: "+48512345678", birth_date: "1990-05-17" },
  ...changes,
});
