import { Eta } from "eta";
import type { RenderedMail } from "../../services/mailer/templates.ts";

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>All mails</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  body { margin: 2rem; }
  section { margin-top: 3rem; }
  .sizes { display: flex; flex-wrap: wrap; gap: 1rem; align-items: start; }
  iframe { height: 46rem; border: 1px solid #8888; }
  .light { color-scheme: light; }
  .dark { color-scheme: dark; }
  pre { margin: 0; padding: 1rem; border: 1px solid #8888; font-size: .8rem; overflow-x: auto; max-width: 100%; }
</style>
</head>
<body>
<h1>All mails</h1>
<ul>
<% for (const { name, subject } of it.mails) { %><li><a href="#<%= name %>"><%= name %></a> <%= subject %></li>
<% } %></ul>
<% for (const { name, subject, text } of it.mails) { %><section id="<%= name %>">
<h2><%= name %></h2>
<p><%= subject %> (<a href="<%= name %>.html">HTML</a>, <a href="<%= name %>.txt">text</a>)</p>
<div class="sizes">
<% for (const theme of ["light", "dark"]) { for (const width of [380, 800]) { %>
<iframe class="<%= theme %>" width="<%= width %>" src="<%= name %>.html" title="<%= name %>, <%= theme %>, <%= width %> px" sandbox loading="lazy"></iframe>
<% } } %>
<pre><%= text %></pre>
</div>
</section>
<% } %></body>
</html>`;

/** All mails on one page: on a phone and in a window, light and dark, and as text. Its files lie beside it. */
export const indexPage = (mails: readonly (RenderedMail & { readonly name: string })[]): string =>
  new Eta({ autoEscape: true }).renderString(page, { mails });
