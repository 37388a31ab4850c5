/** `npm run bench [-- --row name]`: each row measures something beside its baseline in the same run, and says if it missed. */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { isMet, type Figure, type Row } from "./row.ts";
import { getUserRole } from "./rows/get-user-role.ts";
import { login } from "./rows/login.ts";
import { userList } from "./rows/user-list.ts";

const rows: Readonly<Record<string, Row>> = { getUserRole, login, userList };
const { values } = parseArgs({ options: { row: { type: "string" }, json: { type: "string" } } });
const wanted = values.row === undefined ? Object.keys(rows) : [values.row];

const results: (Figure & { row: string; met: boolean })[] = [];
for (const name of wanted) {
  const row = rows[name];
  if (!row) throw new Error(`no such row: ${name}; there are ${Object.keys(rows).join(", ")}`);
  const figures = await row((line) => console.error(`${name}: ${line}`));
  results.push(...figures.map((figure) => ({ row: name, ...figure, met: isMet(figure) })));
}
console.table(results.map(({ value, ...rest }) => ({ ...rest, value: Number(value.toFixed(2)) })));
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(results, null, 2));
process.exitCode = results.every(({ met }) => met) ? 0 : 1;
