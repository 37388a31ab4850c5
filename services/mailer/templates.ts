import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Eta } from "eta";
import type { Role } from "../../lib/roles.ts";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";

export interface MailFacts {
  readonly companyName: string;
  readonly firstName: string;
  readonly link: string;
}

export interface Templates {
  render(kind: MailKind, role: Role, facts: MailFacts): { subject: string; text: string; html: string };
}

const folder = join(import.meta.dirname, "templates");
const names: Readonly<Record<Role, string>> = { CU: "customer", CO: "courier", RM: "manager", MO: "moderator" };
const subjects: Readonly<Record<MailKind, string>> = {
  "verify-email": "Confirm your e-mail address",
  "welcome-moderator": "You are a moderator now",
  "confirm-email": "Confirm your new e-mail address",
  "email-change-notice": "Your e-mail address is about to change",
};
const buttons: Partial<Readonly<Record<MailKind, string>>> = {
  "verify-email": "Confirm e-mail address",
  "confirm-email": "Confirm new address",
  "email-change-notice": "Take the change back",
};
/** Kinds that say the same to everybody, whatever the role. */
const forEveryRole: readonly MailKind[] = ["confirm-email", "email-change-notice"];

/**
 * One template a kind and role: its first block is the words, of which both parts of the mail are made. Values are
 * escaped in HTML and stand as they are in text; templates are files of ours and never made from input.
 */
export function loadTemplates(): Templates {
  const html = new Eta({ autoEscape: true });
  const text = new Eta({ autoEscape: false });
  const layout = read("layout.html.eta");
  const textLayout = read("layout.text.eta");

  return {
    render(kind, role, given) {
      const facts = { ...given, firstName: isOnlyAName(given.firstName) ? given.firstName : "" };
      const words = read(forEveryRole.includes(kind) ? `${kind}.eta` : `${kind}.${names[role]}.eta`);
      const paragraphs = (eta: Eta) =>
        eta
          .renderString(words, facts)
          .trim()
          .split(/\n{2,}/);
      return {
        subject: `${subjects[kind]} – ${facts.companyName}`,
        text: text.renderString(textLayout, { ...facts, kind, button: buttons[kind], paragraphs: paragraphs(text) }),
        html: html.renderString(layout, {
          ...facts,
          kind,
          button: buttons[kind],
          subject: subjects[kind],
          paragraphs: paragraphs(html),
        }),
      };
    },
  };
}

/**
 * Somebody else may have typed both the address and the name: a name that mail programs would turn into a link
 * (`http://evil.example/win`, `evil.example`) is left out of the greeting.
 */
const isOnlyAName = (name: string): boolean => !/:\/\/|@|\p{L}\.\p{L}/u.test(name);

const cache = new Map<string, string>();
function read(name: string): string {
  const known = cache.get(name) ?? readFileSync(join(folder, name), "utf8");
  cache.set(name, known);
  return known;
}
