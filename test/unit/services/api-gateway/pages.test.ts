import { describe, expect, test } from "@jest/globals";
import { buttonPage, donePage, errorPage, formPage, mailboxPage } from "../../../../services/api-gateway/pages.ts";

const evil = `<script>alert("1")</script>'&`;
const templateWords = "<%= 7*7 %>${7*7}{{7*7}}<%~ it.content %>";
const companyName = "Eat & Express";
const texts = { title: "Undo", question: "Really?", button: "Yes", asks: "nothing", done: "Done." } as const;
const inputs = (html: string) => [...html.matchAll(/<input [^>]*name="(\w+)"/g)].map(([, name]) => name);

describe("pages: whatever comes in is text", () => {
  const pages: readonly (readonly [string, (text: string) => string])[] = [
    ["the company on the form", (text) => formPage({ companyName: text, signedIn: false })],
    ["the problem on the form", (text) => formPage({ companyName, signedIn: false, text })],
    ["the company on the thanks", (text) => donePage({ companyName: text, text: "x" })],
    ["the words of the thanks", (text) => donePage({ companyName, text })],
    ["the title over a button", (text) => buttonPage({ companyName, ...texts, title: text })],
    ["the question over a button", (text) => buttonPage({ companyName, ...texts, question: text })],
    ["a button", (text) => buttonPage({ companyName, ...texts, button: text })],
    ["the problem over a button", (text) => buttonPage({ companyName, ...texts, text })],
    ["the problem on the error page", (text) => errorPage({ companyName, text })],
    ["a mail's subject", (text) => mailboxPage([{ subject: text, to: [], received_at: "", text: "" }])],
    ["a mail's address", (text) => mailboxPage([{ subject: "", to: [text], received_at: "", text: "" }])],
    ["a mail's time", (text) => mailboxPage([{ subject: "", to: [], received_at: text, text: "" }])],
    ["a mail's text", (text) => mailboxPage([{ subject: "", to: [], received_at: "", text }])],
  ];

  test.each(pages)("%s: markup is escaped", (_, page) => {
    const html = page(evil);
    expect(html).not.toContain("<script");
    expect(html).not.toContain('alert("1")');
    expect(html).toMatch(/&(lt|#60);script&(gt|#62);/);
  });

  test.each(pages)("%s: template words stay words", (_, page) => {
    const html = page(templateWords);
    expect(html).toContain("7*7");
    expect(html).not.toContain("49");
  });

  test("no page has a script, or anything from elsewhere", () => {
    const all = [
      formPage({ companyName, signedIn: true, text: "x" }),
      buttonPage({ companyName, ...texts, text: "x" }),
      donePage({ companyName, text: "x" }),
      errorPage({ companyName, text: "x" }),
      mailboxPage([]),
    ];
    for (const html of all) expect(html).not.toMatch(/<script|\bsrc=|<link|@import|url\(|\son\w+=/i);
  });
});

describe("formPage", () => {
  test("without a session it asks for the password, or for a new one", () => {
    const html = formPage({ companyName, signedIn: false });
    expect(inputs(html)).toEqual(["password", "new_password"]);
    expect(html.match(/<form method="post">/g)).toHaveLength(2);
    expect(html).not.toContain("Signed in with another account?");
  });

  test("with the account's session the button is enough", () => {
    const html = formPage({ companyName, signedIn: true });
    expect(html.match(/<form method="post">/g)).toHaveLength(3);
    expect(html.indexOf("<button>Confirm</button>")).toBeLessThan(html.indexOf("<input"));
  });

  test("every form posts to where it stands", () => {
    expect(formPage({ companyName, signedIn: true })).not.toContain("action=");
  });

  test("a problem is told, and only then", () => {
    const problem = `<p class="problem" role="alert">The password is not right.</p>`;
    expect(formPage({ companyName, signedIn: false, text: "The password is not right." })).toContain(problem);
    expect(formPage({ companyName, signedIn: false })).not.toContain(`class="problem"`);
  });

  test("title and company stand in the head", () => {
    expect(donePage({ companyName, text: "x" })).toContain("<title>Thank you – Eat &amp; Express</title>");
  });
});

describe("buttonPage", () => {
  test("asks one question and has one button, which posts to where it stands", () => {
    const html = buttonPage({ companyName, ...texts });
    expect(html).toContain("<p>Really?</p>");
    expect(html).toMatch(/<form method="post">\s*<button>Yes<\/button>\s*<\/form>/);
    expect(html).not.toContain("password");
    expect(html).not.toContain('class="problem"');
  });

  test.each([
    ["nothing", []],
    ["password", ["password"]],
    ["new password", ["new_password"]],
  ] as const)("that asks for %s has exactly that field", (asks, fields) => {
    expect(inputs(buttonPage({ companyName, ...texts, asks }))).toEqual(fields);
  });
});

describe("mailboxPage", () => {
  const mail = (text: string) =>
    mailboxPage([{ subject: "Hello", to: ["a@b.co", "c@d.co"], received_at: "now", text }]);
  const hrefs = (html: string) => [...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href);

  test("says when there is none", () => {
    expect(mailboxPage([])).toContain("No mail yet.");
    expect(mail("x")).not.toContain("No mail yet.");
  });

  test("shows subject, addresses and time, mails in their order", () => {
    const html = mailboxPage(
      ["first", "second"].map((subject) => ({ subject, to: ["a@b.co", "c@d.co"], received_at: "now", text: "" })),
    );
    expect(html).toContain("<p>To a@b.co, c@d.co, now</p>");
    expect(html.indexOf("<h2>first</h2>")).toBeLessThan(html.indexOf("<h2>second</h2>"));
  });

  test("a verification link can be clicked", () => {
    const link = "http://localhost:8000/api/v1/users/NDI/verify/abc-DEF_123/";
    expect(hrefs(mail(`Open this:\n${link}\n\nBye`))).toEqual([link]);
  });

  test.each([
    ["javascript:", "javascript:alert(1)"],
    ["data:", "data:text/html,x"],
    ["no protocol", "//evil.example"],
  ])("%s is no link", (_, text) => {
    expect(hrefs(mail(text))).toEqual([]);
  });

  test.each([`https://a.co/"onmouseover="alert(1)`, "https://a.co/'x", "https://a.co/<b>", "https://a.co/\u0022>"])(
    "%s does not break out of the link",
    (text) => {
      const html = mail(text);
      expect(hrefs(html)).toEqual(["https://a.co/"]);
      expect(html).not.toMatch(/<a [^>]*onmouseover/);
    },
  );
});
