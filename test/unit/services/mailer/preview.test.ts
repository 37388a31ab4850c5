import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { mailKinds } from "../../../../mixins/accounts/mails.repository.ts";
import { recipientsOf } from "../../../../services/mailer/templates.ts";

const script = join(import.meta.dirname, "../../../../scripts/mails-preview.ts");
const folder = mkdtempSync(join(process.env["TEST_FOLDER"] ?? "", "mails-preview-"));
afterAll(() => rmSync(folder, { recursive: true }));

const preview = (args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, [script, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"], ...env },
    encoding: "utf8",
    timeout: 20_000,
  });
const names = mailKinds.flatMap((kind) => recipientsOf(kind).map((role) => `${kind}.${role}`));

describe("mails:preview", () => {
  test("writes every mail as HTML and as text, and a page that leads to each", () => {
    const out = join(folder, "chosen");
    const env = { COMPANY_NAME: "Fish & <Chips>", PUBLIC_URL: "https://id.example.com" };
    const { status, stdout, stderr } = preview(["--out", out], env);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(join(out, "index.html"));
    const files = names.flatMap((name) => [`${name}.html`, `${name}.txt`]);
    expect(readdirSync(out).toSorted()).toEqual([...files, "index.html"].toSorted());

    const index = readFileSync(join(out, "index.html"), "utf8");
    for (const file of files) expect(index).toContain(`href="${file}"`);
    expect(index).toContain("Fish &amp; &lt;Chips&gt;");
    expect(index).not.toContain("<Chips>");
    const mail = readFileSync(join(out, "reset-password.CU.txt"), "utf8");
    expect(mail).toMatch(/^https:\/\/id\.example\.com\/api\/v1\/users\/\w+\/reset-password\/[A-Za-z0-9_-]{64}\/$/m);
  });

  test("without a folder: below DATA_DIR, with nothing else configured", () => {
    const { status, stderr } = preview([], { DATA_DIR: join(folder, "data") });
    expect([status, stderr]).toEqual([0, ""]);
    expect(readdirSync(join(folder, "data", "mails"))).toContain("index.html");
  });
});
