/** What the import has to tell about accounts, in the order of the report. */
const kinds = {
  imported: "imported",
  updated: "updated",
  unchanged: "unchanged since the last import",
  "changed-here": "changed here since their import, left as they are",
  "changed-in-both": "changed here and in the source since their import, left as they are here",

  "no-profile": "have no profile (made by an admin)",
  "no-role": "have none of the roles CU, CO, RM, MO (made by an admin)",
  "profile-incomplete": "have no name, phone or birth date",
  "address-refused": "have an address that this service does not accept, so nobody could sign in with it",
  "address-taken": "have an address that is, in another spelling, that of another account here",
  "id-taken": "have the id of an account that was registered here",

  password: "have no password that works here (unusable, or hashed another way): they need a password reset",
  name: "have a name that would be refused today: taken over as it is",
  phone: "have a phone number that would be refused today: taken over as it is",
  "birth-date": "have a birth date that would be refused today: taken over as it is",
  picture: "have a picture of their own: not brought along, they get the default one",
  staff: "are staff: GetUserRole refuses them, as it did before",

  gone: "were imported once and are no longer in the source: left as they are",
} as const;

export type Kind = keyof typeof kinds;
/** Why an account was left out. */
export type Skip = "no-profile" | "no-role" | "profile-incomplete" | "address-refused" | "address-taken" | "id-taken";
/** What is worth knowing about an account that was, or is, taken over. */
export type Remark = "password" | "name" | "phone" | "birth-date" | "picture" | "staff";

const sections: readonly { readonly title: string; readonly kinds: readonly Kind[] }[] = [
  { title: "Accounts", kinds: ["imported", "updated", "unchanged", "changed-here", "changed-in-both"] },
  {
    title: "Skipped",
    kinds: ["no-profile", "no-role", "profile-incomplete", "address-refused", "address-taken", "id-taken"],
  },
  { title: "Of the accounts that are here", kinds: ["password", "name", "phone", "birth-date", "picture", "staff"] },
  { title: "Accounts of earlier imports", kinds: ["gone"] },
];
/** Of these the ids are not worth a line each. */
const silent = new Set<Kind>(["imported", "updated", "unchanged"]);
const shownIds = 10;

/** Counts what is found, and remembers ids (never addresses: a report gets passed around). */
export class Findings {
  readonly #found = new Map<Kind, { count: number; lines: string[] }>();

  /** @param other the account that is in the way */
  add(kind: Kind, id: number, other?: number): void {
    const entry = this.#found.get(kind) ?? { count: 0, lines: [] };
    this.#found.set(kind, entry);
    entry.count++;
    if (!silent.has(kind)) entry.lines.push(other === undefined ? String(id) : `${id},${other}`);
  }

  count(kind: Kind): number {
    return this.#found.get(kind)?.count ?? 0;
  }

  /** A few lines for a person. */
  summary(): string {
    return sections
      .flatMap(({ title, kinds: of }) => {
        const lines = of.filter((kind) => this.count(kind) > 0).map((kind) => this.#line(kind));
        return lines.length === 0 ? [] : [`${title}:`, ...lines];
      })
      .join("\n");
  }

  #line(kind: Kind): string {
    const { count, lines } = this.#found.get(kind) ?? { count: 0, lines: [] };
    const ids = lines.slice(0, shownIds).map((line) => line.replace(/,(.*)/, " (in the way: $1)"));
    const more = lines.length > shownIds ? ", …" : "";
    return `${String(count).padStart(9)} ${kinds[kind]}${ids.length > 0 ? `; id ${ids.join(", ")}${more}` : ""}`;
  }

  /** Every finding as CSV: what, id, and the account that is in the way. */
  *csv(): Generator<string> {
    yield "finding,id,other_id\n";
    for (const [kind, { lines }] of this.#found) {
      for (const line of lines) yield `${kind},${line}${line.includes(",") ? "" : ","}\n`;
    }
  }
}
