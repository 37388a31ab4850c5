/**
 * `npm run fuzz -- --minutes 60`: throws generated requests at a service of its own, in production's configuration, and says
 * what it answered. Fails on a 5xx, a crash, a log line that is no JSON object or has something unescaped in it, and on
 * whatever the fuzzers find against openapi.json.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readLog } from "./fuzz/read-log.ts";
import { startTarget, type Target } from "./fuzz/target.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "5" },
    rate: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    venv: { type: "string", default: ".cache/fuzz" },
  },
});
const [minutes, rate, seed] = [Number(values.minutes), Number(values.rate), Number(values.seed)];
if (!(minutes > 0) || !(rate > 0) || !Number.isInteger(seed)) {
  console.error("Usage: npm run fuzz -- [--minutes 5] [--rate 20 a second] [--seed 1] [--venv .cache/fuzz]");
  process.exit(2);
}
const [schemathesis, python] = ["schemathesis", "python"].map((name) => resolve(values.venv, "bin", name));
if (!schemathesis || !python || !existsSync(schemathesis)) {
  console.error(`The fuzzers are not there. Once, with Python 3.10 or newer:
python3 -m venv ${values.venv} && ${values.venv}/bin/pip install schemathesis grpcio`);
  process.exit(2);
}

const roundSeconds = 120;
/** Each round is somebody else, newly made: the one before may have signed itself out or deactivated itself. */
const callers = ["nobody", "customer", "moderator"] as const;
/** Not `not_a_server_error`: what the service answered is read from its log, which knows a 500 from "come again". */
const checks = "content_type_conformance,response_headers_conformance,response_schema_conformance";

const target = await startTarget();
let problems = 0;
try {
  await throwAt(target);
} finally {
  await target.stop();
}
const log = await readLog(target.logFile);
console.log(`\n${log.lines} lines in ${target.logFile}; requests by status:`, log.statuses);
for (const problem of log.problems.slice(0, 20)) console.error(`FAILED: ${problem}`);
problems += log.problems.length;
console.log(problems === 0 ? "Nothing found." : `${problems} problem(s).`);
process.exitCode = problems === 0 ? 0 : 1;

async function throwAt(at: Target): Promise<void> {
  const { url, grpcAddress } = at;
  const end = Date.now() + minutes * 60_000;
  const left = () => Math.ceil((end - Date.now()) / 1000);
  const raw = run(python ?? "", [
    join(import.meta.dirname, "fuzz/raw.py"),
    ...["--http", new URL(url).host, "--grpc", grpcAddress],
    ...["--seconds", String(left()), "--rate", String(rate), "--seed", String(seed)],
  ]);
  for (let round = 0; left() > 0; round++) {
    const caller = callers[round % callers.length] ?? "nobody";
    const token = caller === "nobody" ? undefined : await at.signUp(caller);
    const seconds = Math.min(roundSeconds, left());
    console.log(`\n==> round ${round}, as ${caller}, seed ${seed + round}, ${seconds} s`);
    problems += await run(schemathesis ?? "", [
      ...["run", `${url}/openapi.json`, "--no-color", "--checks", checks, "--seed", String(seed + round)],
      ...[
        "--max-time",
        String(seconds),
        "--rate-limit",
        `${rate}/s`,
        "--max-redirects",
        "0",
        "--request-timeout",
        "20",
      ],
      ...["--continue-on-failure", "--generation-database", "none", "--warnings", "off"],
      ...(token === undefined ? [] : ["--header", `Authorization: Bearer ${token}`]),
    ]);
  }
  problems += await raw;
}

/** @returns 0, or 1 when it found something */
function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((done, reject) => {
    // Both keep notes in the folder that they run in.
    const child = spawn(command, args, { cwd: tmpdir(), stdio: ["ignore", "inherit", "inherit"] });
    child.once("error", reject).once("exit", (code) => done(code === 0 ? 0 : 1));
  });
}
