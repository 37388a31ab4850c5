/** What can be told of bcrypt hashes without loading bcrypt: only the worker threads need that. */
const form = /^\$2b\$(?<cost>[0-9]{2})\$[./A-Za-z0-9]{53}$/;

export const isBcryptHash = (text: string): boolean => form.test(text);

/** log2 of the rounds, `10` for `$2b$10$…`. */
export const costOf = (hash: string): number => Number(form.exec(hash)?.groups?.["cost"]);

/** A hash of no password: its salt and its digest are all zeros. */
export const decoyOf = (cost: number): string => `$2b$${String(cost).padStart(2, "0")}$${".".repeat(53)}`;
