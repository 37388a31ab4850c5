import { describe, expect, test } from "@jest/globals";
import { roles, type Role } from "../../../../lib/roles.ts";
import { mailKinds, type MailKind } from "../../../../mixins/accounts/mails.repository.ts";
import { loadTemplates, recipientsOf } from "../../../../services/mailer/templates.ts";

const templates = loadTemplates();
const link = "https://id.example.com/api/v1/users/NDI/verify/abc-DEF_123/";
const facts = { companyName: "Eat Express", firstName: "Anna", link };
const hrefs = (html: string) => [...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href);
const everyMail = mailKinds.flatMap((kind) => recipientsOf(kind).map((role) => [kind, role] as const));
const withButton: readonly MailKind[] = ["verify-email", "confirm-email", "email-change-notice", "reset-password"];
const withLink: readonly MailKind[] = [...withButton, "password-changed"];
const bodyOf = (html: string) => html.slice(html.indexOf("<main"));

describe("templates: every mail there is", () => {
  test("each kind is for every role, and a moderator's welcome for moderators alone", () => {
    expect(everyMail).toHaveLength((mailKinds.length - 1) * roles.length + 1);
    expect(recipientsOf("welcome-moderator")).toEqual(["MO"]);
  });

  test.each(everyMail)("%s for %s has a subject and both parts, with nothing left unfilled", (kind, role) => {
    const { subject, text, html } = templates.render(kind, role, facts);
    expect(subject).toMatch(/^[A-Z].* – Eat Express$/);
    expect(text).toMatch(/^Hello Anna,\n\n\S/);
    expect(html).toContain(">Hello Anna,</p>");
    for (const part of [subject, text, html]) expect(part).not.toMatch(/undefined|\[object|<%|%>|NaN/);
    // Nor a mark of the file of words: `# title`, `> preview`, `[button]`.
    for (const part of [text, bodyOf(html).replaceAll(/<[^>]*>/g, "\n")]) expect(part).not.toMatch(/^[#>[]|\]$/m);
  });

  test.each(everyMail)("%s for %s: its link stands in both parts, and nothing else can be clicked", (kind, role) => {
    const { text, html } = templates.render(kind, role, facts);
    const expected = withLink.includes(kind) ? [link] : [];
    expect(text.match(/https?:\S+/g) ?? []).toEqual(expected);
    expect(hrefs(html)).toEqual(expected);
    expect(html.match(/<a /g) ?? []).toHaveLength(expected.length);
  });

  test.each(everyMail)("%s for %s escapes what is markup in both names", (kind, role) => {
    const { subject, text, html } = templates.render(kind, role, {
      companyName: "Fish <b>& Chips",
      firstName: "<b>Anna",
      link,
    });
    for (const part of [subject, text.replaceAll("\n", " ")]) expect(part).toContain("Fish <b>& Chips");
    expect(text).toMatch(/^Hello <b>Anna,\n/);
    expect(html).toContain("Hello &lt;b&gt;Anna,");
    expect(html).toContain("Fish &lt;b&gt;&amp; Chips");
    expect(html).not.toContain("<b>");
    expect(html).not.toMatch(/&amp;(lt|gt|amp);/);
  });

  test("a role's own words stand in the verification mail", () => {
    const words = {
      CU: /first meal/,
      CO: /orders can be\s+assigned/,
      RM: /restaurants and menus/,
      MO: /as a\s+moderator/,
    };
    for (const role of roles) {
      const { text, html } = templates.render("verify-email", role, facts);
      const said = roles.filter((other) => words[other].test(text));
      expect([role, said, words[role].test(html)]).toEqual([role, [role], true]);
    }
  });

  test("who did not register is told what to do, in both parts, and only by that mail", () => {
    const says = ([kind, role]: readonly [MailKind, Role]) => {
      const { text, html } = templates.render(kind, role, facts);
      return [text, html].map((part) => /I did not\s+register/.test(part));
    };
    for (const mail of everyMail) expect([mail, says(mail)]).toEqual([mail, Array(2).fill(mail[0] === "verify-email")]);
  });

  test("how long a link works is told by every mail that has one", () => {
    const times = withButton.map((kind) => /for (three days|seven days|one hour)\./.exec(render(kind).text)?.[1]);
    expect(times).toEqual(["three days", "three days", "seven days", "one hour"]);
    for (const kind of mailKinds.filter((one) => !withButton.includes(one))) {
      expect(render(kind).text).not.toMatch(/\blink\b/);
    }
  });

  const render = (kind: MailKind) => templates.render(kind, "MO", facts);
});

describe("templates: the HTML part", () => {
  test.each(everyMail)(
    "%s for %s: language, title, one heading, one main, and tables that are only layout",
    (kind, role) => {
      const { subject, html } = templates.render(kind, role, facts);
      const title = subject.replace(" – Eat Express", "");
      expect(html).toMatch(/^<!doctype html>\n<html lang="en"/);
      expect(html).toContain(`<title>${title}</title>`);
      expect(html.match(/<h[1-6].*/g)).toEqual([expect.stringMatching(new RegExp(`^<h1[^>]*>${title}</h1>$`))]);
      // A mail program shows what is in the body: the language must stand there as well.
      expect(html.match(/<main[^>]*>/g)).toEqual([expect.stringContaining('lang="en"')]);
      expect(html).toContain('<table role="presentation"');
      expect(html).not.toMatch(/<table(?! role="presentation")/);
    },
  );

  test.each(everyMail)(
    "%s for %s: a preview that no screen reader reads twice, before everything else",
    (kind, role) => {
      const { html } = templates.render(kind, role, facts);
      expect(html).toMatch(
        /<body[^>]*>\s*<div aria-hidden="true" style="display:none;[^>]*>[A-Z][^<&]+\.(&#847;&zwnj;&nbsp;)+<\/div>\s*<main/,
      );
    },
  );

  test("every element is closed", () => {
    for (const [kind, role] of everyMail) {
      const { html } = templates.render(kind, role, facts);
      for (const name of [
        "html",
        "head",
        "body",
        "main",
        "div",
        "table",
        "tr",
        "td",
        "p",
        "h1",
        "a",
        "span",
        "style",
      ]) {
        const [opened, closed] = [new RegExp(`<${name}[ >]`, "g"), new RegExp(`</${name}>`, "g")];
        expect([kind, name, html.match(opened)?.length]).toEqual([kind, name, html.match(closed)?.length]);
      }
    }
  });

  test("without its <style>, which some programs take away, it still has its colours and its button", () => {
    const { html } = templates.render("verify-email", "CU", facts);
    const bare = html.replace(/<style>[^]*<\/style>/, "");
    expect(bare).toMatch(/class="card" style="[^"]*background:#ffffff;color:#1c1c1a/);
    expect(bare).toMatch(/class="button" style="background:#1c5d3a[^>]*><a [^>]*padding:14px 28px;[^>]*color:#ffffff/);
  });

  test("dark mode is announced, and every coloured class has its dark colours", () => {
    const { html } = templates.render("verify-email", "CU", facts);
    for (const name of ["color-scheme", "supported-color-schemes"]) {
      expect(html).toContain(`<meta name="${name}" content="light dark">`);
    }
    const dark = /prefers-color-scheme: dark\) \{([^]*?)\n {2}\}/.exec(html)?.[1];
    const coloured = [...html.matchAll(/class="(\w+)" [^>]*(?:background|[;"]color):/g)].map(([, name = ""]) => name);
    expect(new Set(coloured)).toEqual(new Set(["page", "brand", "card", "button", "small"]));
    for (const name of coloured) expect(dark).toContain(`.${name}`);
  });
});

describe("templates: the text part", () => {
  test.each(everyMail)("%s for %s has short lines, a link alone being longer, and no gaps", (kind, role) => {
    const longLink = `${link}${"x".repeat(120)}/`;
    const { text } = templates.render(kind, role, {
      ...facts,
      companyName: "A Company With Quite A Long Name",
      link: longLink,
    });
    const long = text.split("\n").filter((line) => line.length > 78);
    // The one that stands in a sentence begins its line.
    for (const line of long) expect(line).toMatch(/^https:\S+$|^https:\S+ \S/);
    expect(text).not.toMatch(/\n{3}| \n|\n $/);
    expect(text).toMatch(/[^\n]\n$/);
  });

  test("the button's words introduce its link", () => {
    expect(templates.render("reset-password", "CU", facts).text).toContain(`\n\nSet a new password:\n${link}\n\n`);
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
      expect(unescaped).toContain(`>Hello ${name},</p>`);
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

  test.each([
    "https://evil.example/win",
    "evil.example",
    "win at evil.example",
    "me@evil.example",
    "evil1.example",
    "evil-.1st.example",
    "evile\u0301.example",
    "evil。example",
    "evil．example",
    "me＠evil",
    "Your account is evil. ".repeat(3),
  ])("%s: nothing that a mail program would turn into a link stands in the greeting", (name) => {
    const { text, html } = render(name);
    expect(text).toMatch(/^Hello,$/m);
    expect(text + html).not.toContain("evil");
  });

  test.each(["Anna Maria", "J. R.", "J.-P.", "John 3rd", "O'Neil", "Müller-Lüdenscheidt", "Ольга", "A".repeat(60)])(
    "%s is greeted",
    (name) => {
      expect(render(name).text).toContain(`Hello ${name},`);
    },
  );

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
    for (const role of ["CU", "CO", "RM"] as const) {
      expect(() => templates.render("welcome-moderator", role, facts)).toThrow("no mail welcome-moderator");
    }
  });
});
