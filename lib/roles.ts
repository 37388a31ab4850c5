/** Customer, courier, restaurant manager, moderator: the platform's own abbreviations, kept on every wire. */
export const roles = ["CU", "CO", "RM", "MO"] as const;
export type Role = (typeof roles)[number];

export const roleNames: Readonly<Record<Role, string>> = {
  CU: "customer",
  CO: "courier",
  RM: "restaurant manager",
  MO: "moderator",
};
