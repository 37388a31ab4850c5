import { Eta } from "eta";

const eta = new Eta({ autoEscape: true });

const layout = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title><%= it.title %> – <%= it.companyName %></title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  main { max-width: 26rem; margin: 3rem auto; padding: 0 1rem; }
  label { display: block; margin: 1rem 0 .25rem; }
  input { width: 100%; box-sizing: border-box; padding: .6rem; font: inherit; }
  button { margin-top: 1rem; padding: .7rem 1.2rem; font: inherit; font-weight: 600; cursor: pointer; }
  .problem { border-left: .25rem solid #c22; padding-left: .75rem; }
</style>
</head>
<body><main>
<h1><%= it.title %></h1>
<%~ it.content %>
</main></body>
</html>`;

const form = `
<% if (it.text) { %><p class="problem" role="alert"><%= it.text %></p><% } %>
<% if (it.signedIn) { %>
<form method="post"><p>Confirm that this is your e-mail address.</p><button>Confirm</button></form>
<details><summary>Signed in with another account?</summary>
<% } %>
<form method="post">
  <p>Enter the password that you registered with.</p>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required>
  <button>Confirm</button>
</form>
<details>
  <summary>I did not register</summary>
  <form method="post">
    <p>Somebody used your address. Set a password of your own: whoever registered is signed out.</p>
    <label for="new_password">New password</label>
    <input id="new_password" name="new_password" type="password" autocomplete="new-password" minlength="8" required>
    <button>Set password and confirm</button>
  </form>
</details>
<% if (it.signedIn) { %></details><% } %>`;

const button = `
<% if (it.text) { %><p class="problem" role="alert"><%= it.text %></p><% } %>
<p><%= it.question %></p>
<form method="post">
<% if (it.asks === "password") { %>
  <label for="password">Your account's password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required>
<% } %>
<% if (it.asks === "new password") { %>
  <label for="new_password">New password</label>
  <input id="new_password" name="new_password" type="password" autocomplete="new-password" minlength="8" required>
<% } %>
  <button><%= it.button %></button>
</form>`;

const mailbox = `
<% if (it.mails.length === 0) { %><p>No mail yet.</p><% } %>
<% for (const mail of it.mails) { %>
<article>
  <h2><%= mail.subject %></h2>
  <p>To <%= mail.to.join(", ") %>, <%= mail.received_at %></p>
  <pre><%~ it.linked(mail.text) %></pre>
</article>
<% } %>`;

interface Page {
  readonly companyName: string;
}
const render = (title: string, content: string, page: Page): string =>
  eta.renderString(layout, { title, content: eta.renderString(content, page), companyName: page.companyName });

export const formPage = (page: Page & { signedIn: boolean; text?: string }): string =>
  render("Confirm your e-mail address", form, page);
export interface ButtonTexts {
  readonly title: string;
  readonly question: string;
  readonly button: string;
  readonly done: string;
}
/** What somebody has to type besides pressing the button. */
export type Asked = "nothing" | "password" | "new password";
export const buttonPage = (page: Page & ButtonTexts & { asks: Asked; text?: string }): string =>
  render(page.title, button, page);
export const donePage = (page: Page & { text: string }): string => render("Thank you", "<p><%= it.text %></p>", page);
export const errorPage = (page: Page & { text: string }): string =>
  render("That did not work", '<p class="problem"><%= it.text %></p>', page);

interface Mail {
  readonly subject: string;
  readonly to: readonly string[];
  readonly received_at: string;
  readonly text: string;
}
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
const linked = (text: string): string => escaped(text).replaceAll(/https?:\/\/[^\s&]+/g, '<a href="$&">$&</a>');

export const mailboxPage = (mails: readonly Mail[]): string =>
  eta.renderString(layout, {
    title: "Mailbox",
    companyName: "development",
    content: eta.renderString(mailbox, { mails, linked }),
  });
