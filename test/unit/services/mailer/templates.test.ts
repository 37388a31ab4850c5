import { describe, expect, test } from "@jest/globals";
import { roles } from "../../../../lib/roles.ts";
import type { MailKind } from "../../../../mixins/accounts/mails.repository.ts";
import { loadTemplates } from "../../../../services/mailer/templates.ts";

const templates = loadTemplates();
const link = "https://id.example.com/api/v1/users/NDI/verify/abc-DEF_123/";
const facts = { companyName: "Eat Express", firstName: "Anna", link };
const hrefs = (html: string) => [...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href);
const everyMail = [
  ...roles.flatMap((role) =>
    (["verify-email", "confirm-email", "email-change-notice"] as const).map((kind) => [kind, role] as const),
  ),
  ["welcome-moderator", "MO"] as const,
];
const withLink = everyMail.filter(([kind]) => kind !== "welcome-moderator");

describe("templates: every mail there is", () => {
  test.each(everyMail)("%s for %s has a subject and both parts, with nothing left unfilled", (kind, role) => {
    const { subject, text, html } = templates.render(kind, role, facts);
    expect(subject).toMatch(/^\S.* – Eat Express$/);
    expect(text).toMatch(/^Hello Anna,\n\n\S/);
    expect(html).toContain("<p>Hello Anna,</p>");
    for (const part of [subject, text, html]) expect(part).not.toMatch(/undefined|\[object|<%|%>|NaN/);
  });

  test.each(withLink)("%s for %s: the link stands in both parts, and nothing else can be clicked", (kind, role) => {
    const { text, html } = templates.render(kind, role, facts);
    expect(text.match(/https?:\S+/g)).toEqual([link]);
    expect(hrefs(html)).toEqual([link]);
  });

  test("the words differ by role", () => {
    const texts = roles.map((role) => templates.render("verify-email", role, facts).text);
    expect(new Set(texts).size).toBe(roles.length);
  });

  test("who did not register is told what to do, in both parts, and only by that mail", () => {
    const says = ([kind, role]: readonly [MailKind, (typeof roles)[number]]) => {
      const { text, html } = templates.render(kind, role, facts);
      return [text, html].map((part) => part.includes("I did not register"));
    };
    expect(says(["verify-email", "CU"])).toEqual([true, true]);
    expect(says(["welcome-moderator", "MO"])).toEqual([false, false]);
  });

  test("a mail without a link has no button", () => {
    expect(hrefs(templates.render("welcome-moderator", "MO", facts).html)).toEqual([]);
  });
});

describe("templates: names are text (SECURITY.md, ASVS 1.2.1 and 1.3.7)", () => {
  const render = (firstName: string, companyName = facts.companyName) =>
    templates.render("verify-email", "CU", { companyName, firstName, link });

  test("markup is escaped in HTML and stands as it is in the text", () => {
    const evil = `<b>x</b>"&'`;
    const { text, html } = render(evil);
    expect(text).toContain(`Hello ${evil},`);
    expect(html).not.toContain("<b>x");
    expect(html).toContain("Hello &lt;b&gt;x&lt;/b&gt;&quot;&amp;&#39;,");
  });

  test.each(["${7*7}", "<%= 7*7 %>", "{{7*7}}", "<%~ it %>", "<% throw 1 %>", "#{7*7}", "`7`"])(
    "%s appears as it was typed, in both parts",
    (name) => {
      const { text, html } = render(name);
      expect(text).toContain(`Hello ${name},`);
      const unescaped = html.replaceAll("&lt;", "<").replaceAll("&gt;", ">");
      expect(unescaped).toContain(`<p>Hello ${name},</p>`);
      expect([text, html].join()).not.toContain("49");
    },
  );

  test.each([`<a href="https://evil.example">click</a>`, `"><a href='https://evil.example'>`, "https://evil.example"])(
    "%s makes no link of its own",
    (name) => {
      expect(hrefs(render(name).html)).toEqual([link]);
      expect(render(name).html.match(/<a /g)).toHaveLength(1);
    },
  );

  test.each(["https://evil.example/win", "evil.example", "win at evil.example", "me@evil.example"])(
    "%s: nothing that a mail program would turn into a link stands in the greeting",
    (name) => {
      const { text, html } = render(name);
      expect(text).toMatch(/^Hello,$/m);
      expect(text + html).not.toContain("evil");
    },
  );

  test.each(["Anna Maria", "J. R.", "O'Neil", "Müller-Lüdenscheidt", "Ольга"])("%s is greeted", (name) => {
    expect(render(name).text).toContain(`Hello ${name},`);
  });

  test("the company's name is escaped as well", () => {
    const { subject, text, html } = render("Anna", "Fish & <Chips>");
    expect(subject).toContain("Fish & <Chips>");
    expect(text).toContain("Welcome to Fish & <Chips>.");
    expect(html).toContain("Welcome to Fish &amp; &lt;Chips&gt;.");
    expect(html).not.toContain("<Chips>");
  });

  test("line breaks and replacement patterns change nothing", () => {
    for (const name of ["$&$1$$", "\\n", "An\u2028na", "Ann😀"]) expect(render(name).text).toContain(`Hello ${name},`);
  });
});

describe("templates: what is not there", () => {
  test("a mail for a role that it is not made for is an error and not another mail", () => {
    expect(() => templates.render("welcome-moderator", "CU", facts)).toThrow(/ENOENT/);
  });
});
