/**
 * `npm run bench [-- --row name] [--json file]`: each row measures something beside its baseline in the same run, and says
 * if it missed. What a row needs and does not find is skipped, loudly; with REQUIRE_ALL=1 it counts as missed.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { isMet, Skipped, type Figure, type Row } from "./row.ts";
import { currentUser } from "./rows/current-user.ts";
import { enumeration } from "./rows/enumeration.ts";
import { firstTokens } from "./rows/first-tokens.ts";
import { getUserRole } from "./rows/get-user-role.ts";
import { getUserRoleUnderLogins } from "./rows/get-user-role-under-logins.ts";
import { kafkaAway } from "./rows/kafka-away.ts";
import { login } from "./rows/login.ts";
import { memoryAndStart } from "./rows/memory-and-start.ts";
import { outboxQueue } from "./rows/outbox-queue.ts";
import { refresh } from "./rows/refresh.ts";
import { relay } from "./rows/relay.ts";
import { revocation, revocationByPoll } from "./rows/revocation.ts";
import { sealedCall } from "./rows/sealed-call.ts";
import { soak } from "./rows/soak.ts";
import { twoNodes } from "./rows/two-nodes.ts";
import { underFloods } from "./rows/floods.ts";
import { userList } from "./rows/user-list.ts";

const rows: Readonly<Record<string, Row>> = {
  getUserRole,
  getUserRoleUnderLogins,
  currentUser,
  login,
  enumeration,
  refresh,
  relay,
  outboxQueue,
  kafkaAway,
  revocation,
  revocationByPoll,
  userList,
  memoryAndStart,
  twoNodes,
  firstTokens,
  sealedCall,
  underFloods,
};
/** Only by name: half an hour. */
const longRows: Readonly<Record<string, Row>> = { soak };
const { values } = parseArgs({ options: { row: { type: "string" }, json: { type: "string" } } });
const wanted = values.row === undefined ? Object.keys(rows) : [values.row];

const results: (Figure & { row: string; met: boolean })[] = [];
const skipped: string[] = [];
for (const name of wanted) {
  const all = { ...rows, ...longRows };
  const row = all[name];
  if (!row) throw new Error(`no such row: ${name}; there are ${Object.keys(all).join(", ")}`);
  try {
    const figures = await row((line) => console.error(`${name}: ${line}`));
    results.push(...figures.map((figure) => ({ row: name, ...figure, met: isMet(figure) })));
  } catch (error) {
    if (!(error instanceof Skipped)) throw error;
    skipped.push(`*** SKIPPED, not measured: ${name}: ${error.message}`);
    console.error(skipped.at(-1));
  }
}

const isClaim = ({ atMost, atLeast }: Figure): boolean => atMost !== undefined || atLeast !== undefined;
const bound = ({ atMost, atLeast }: Figure): string =>
  [
    ...(atLeast === undefined ? [] : [`>= ${round(atLeast)}`]),
    ...(atMost === undefined ? [] : [`<= ${round(atMost)}`]),
  ].join();
const round = (value: number): number => Number(value.toPrecision(4));
console.table(
  results.map((figure) => ({
    row: figure.row,
    figure: figure.name,
    value: round(figure.value),
    unit: figure.unit,
    goal: bound(figure),
    "": isClaim(figure) ? (figure.met ? "met" : "MISSED") : "",
  })),
);
for (const line of skipped) console.error(line);
if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ results, skipped }, null, 2));
const complete = skipped.length === 0 || process.env["REQUIRE_ALL"] !== "1";
process.exitCode = complete && results.every(({ met }) => met) ? 0 : 1;
