import { join } from "node:path";
import { Eta } from "eta";
import { roles, type Role } from "../../lib/roles.ts";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";

export interface MailFacts {
  readonly companyName: string;
  readonly firstName: string;
  /** Where the button leads; for a kind without one the service's public URL. */
  readonly link: string;
}

export interface RenderedMail {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Templates {
  /** @throws for a role that is not among `recipientsOf(kind)` */
  render(kind: MailKind, role: Role, facts: MailFacts): RenderedMail;
}

/** The roles that a kind of mail is written for. */
export const recipientsOf = (kind: MailKind): readonly Role[] => (kind === "welcome-moderator" ? ["MO"] : roles);

/**
 * One file of words a kind, of which the layouts make both parts of the mail. Values are escaped in HTML and stand as they
 * are in text; templates are files of ours and never made from input.
 */
export function loadTemplates(): Templates {
  const options = { views: join(import.meta.dirname, "templates"), cache: true, autoTrim: false } as const;
  const html = new Eta({ ...options, autoEscape: true });
  const text = new Eta({ ...options, autoEscape: false });

  return {
    render(kind, role, given) {
      if (!recipientsOf(kind).includes(role)) throw new Error(`there is no mail ${kind} for this role`);
      const facts = { ...given, role, firstName: isOnlyAName(given.firstName) ? given.firstName : "" };
      const anchor = html.renderString('<a href="<%= it.link %>"><%= it.link %></a>', facts);
      const htmlWords = readWords(html.render(`./${kind}.eta`, { ...facts, link: anchor }));
      const textWords = readWords(text.render(`./${kind}.eta`, facts));
      return {
        subject: `${textWords.title} – ${facts.companyName}`,
        text: inShortLines(text.render("./layout.text.eta", { ...facts, ...textWords })),
        html: html.render("./layout.html.eta", { ...facts, ...htmlWords }),
      };
    },
  };
}

interface Words {
  readonly title: string;
  /** What an inbox shows beside the subject. */
  readonly preview: string;
  readonly paragraphs: readonly string[];
  readonly button: string | undefined;
  readonly smallPrint: readonly string[];
}

/** A file of words: `# title`, `> preview`, paragraphs, and where there is one the `[button]` with its small print below. */
function readWords(rendered: string): Words {
  const blocks = rendered.trim().split(/\n{2,}/);
  const [title = "", preview = "", ...rest] = blocks.map((block) => block.replaceAll("\n", " "));
  const button = rest.findIndex((block) => /^\[.+\]$/.test(block));
  return {
    title: title.replace(/^# /, ""),
    preview: preview.replace(/^> /, ""),
    paragraphs: button < 0 ? rest : rest.slice(0, button),
    button: rest[button]?.slice(1, -1),
    smallPrint: button < 0 ? [] : rest.slice(button + 1),
  };
}

/** RFC 5322, 2.1.1: lines of at most 78 characters. Only what cannot be broken is longer: a link would no longer open. */
const inShortLines = (text: string): string =>
  text
    .replaceAll(/(?!.{1,76}$)(.{1,76}) +/gm, "$1\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim() + "\n";

/** Longer ones are rather a message. */
const maxGreetedName = 60;

/**
 * Somebody else may have typed both the address and the name: a name that mail programs would turn into a link
 * (`http://evil.example/win`, `evil.example`, with any of the dots of RFC 3490, 3.1) is left out of the greeting.
 */
const isOnlyAName = (name: string): boolean =>
  name.length <= maxGreetedName && !/:\/\/|[@＠]|[^\s.][.。．｡][\p{L}\p{N}]/u.test(name);
