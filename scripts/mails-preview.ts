/** `npm run mails:preview [-- --out <folder>]`: writes every mail that there is as files, to be looked at. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig, readEnvironment } from "../lib/config.ts";
import { keyRing } from "../lib/keys.ts";
import { mailKinds } from "../mixins/accounts/mails.repository.ts";
import { linkOf } from "../services/mailer/mail-link.ts";
import { loadTemplates, recipientsOf } from "../services/mailer/templates.ts";
import { indexPage } from "./mails-preview/index-page.ts";

const { values } = parseArgs({ options: { out: { type: "string" } } });
const config = loadConfig(previewEnvironment());
const folder = values.out ?? join(config.dataDir, "mails");
const keys = keyRing(config.secrets, "one-time-token");
const templates = loadTemplates();

await mkdir(folder, { recursive: true });
const mails = mailKinds.flatMap((kind) => recipientsOf(kind).map((role) => ({ name: `${kind}.${role}`, kind, role })));
const written = await Promise.all(
  mails.map(async ({ name, kind, role }) => {
    const link = linkOf(config.publicUrl, keys, { kind, userId: 42, oneTimeTokenId: randomUUID() });
    const mail = templates.render(kind, role, { companyName: config.companyName, firstName: "Anna", link });
    await writeFile(join(folder, `${name}.html`), mail.html);
    await writeFile(join(folder, `${name}.txt`), mail.text);
    return { name, ...mail };
  }),
);
await writeFile(join(folder, "index.html"), indexPage(written));
console.log(`${written.length} mails, each as HTML and as text: ${join(folder, "index.html")}`);

/** What a mail shows of the configuration, and a secret of the moment: the links must look real and open nothing. */
function previewEnvironment() {
  const environment = readEnvironment();
  const names = ["COMPANY_NAME", "PUBLIC_URL", "WEB_APP_PROTOCOL", "WEB_APP_HOST", "WEB_APP_PORT", "DATA_DIR"];
  const shown = Object.fromEntries(names.map((name) => [name, environment[name]]));
  return { ...shown, SERVICES: "api-gateway", SECRET_KEY: randomBytes(32).toString("base64url") };
}
