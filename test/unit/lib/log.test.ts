import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, jest, test } from "@jest/globals";
import { createLog, silentLog } from "../../../lib/log.ts";

const module = pathToFileURL(join(import.meta.dirname, "../../../lib/log.ts")).href;

/** What a process that logs writes on its standard output. */
const written = (level: string, statement: string): string =>
  execFileSync(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `const { createLog } = await import(${JSON.stringify(module)});
       const log = createLog({ level: ${JSON.stringify(level)}, pretty: false });
       ${statement}`,
    ],
    { encoding: "utf8" },
  );
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("createLog", () => {
  test("writes a JSON object a line: level as a word, time in UTC, fields, sentence, and no host or process id", () => {
    const [line] = linesOf(written("info", `log.info({ user_id: 7 }, "hello");`));
    expect(line).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      user_id: 7,
      msg: "hello",
    });
  });

  test("keeps back what lies below its level", () => {
    const lines = linesOf(
      written("warn", `log.info({}, "no"); log.warn({}, "yes"); log.child({ a: 1 }).error({}, "too");`),
    );
    expect(lines.map(({ msg }) => msg)).toEqual(["yes", "too"]);
  });

  test.each([
    ["process.exit", "process.exit(0);"],
    ["an error that nobody catches", 'process.on("uncaughtException", () => process.exit(0)); throw new Error();'],
    ["nothing more to do", ""],
  ])("what was logged is written, in its order, when the process ends by %s", (_, end) => {
    const lines = linesOf(written("info", `for (let nth = 0; nth < 3; nth++) log.info({ nth }, "last words"); ${end}`));
    expect(lines.map(({ nth }) => nth)).toEqual([0, 1, 2]);
  });

  test("a line stays a line: breaks, escape sequences and JSON in a value cannot make another one", () => {
    const evil = 'x\n{"level":"info","msg":"forged"}\r\u001b[2K\u2028';
    const text = written("info", `log.info({ user_agent: ${JSON.stringify(evil)} }, "real");`);
    expect(text.trimEnd().split("\n")).toHaveLength(1);
    expect(text).not.toContain("\u001b");
    expect(linesOf(text)[0]).toMatchObject({ user_agent: evil, msg: "real" });
  });

  test.each([
    ["ANSI in one byte", "\u009b31m"],
    ["DEL", "\u007f"],
    ["a line separator", "\u2028"],
    ["a paragraph separator", "\u2029"],
    ["the other reading direction", "\u202etxt.exe\u2066"],
    ["no width at all", "\u200b\ufeff"],
    ["a tag beyond 16 bits", "\u{e0001}"],
    ["half a character", "\ud800"],
  ])("%s: written as an escape, in a field and in the sentence, and read as it was", (_, evil) => {
    const text = written("info", `log.info({ user_agent: ${JSON.stringify(evil)} }, ${JSON.stringify(evil)});`);
    expect(text).toMatch(/^[ -~]+\n$/);
    expect(linesOf(text)[0]).toMatchObject({ user_agent: evil, msg: evil });
  });
});

describe("createLog: silent", () => {
  test("writes nothing at any level", () => {
    const write = jest.spyOn(process.stdout, "write");
    const log = createLog({ level: "silent", pretty: false });
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]({}, "nobody hears this");
    expect(write).not.toHaveBeenCalled();
    write.mockRestore();
  });
});

describe("silentLog", () => {
  test("takes everything and says nothing", () => {
    expect(() => silentLog.child({ a: 1 }).error({}, "nobody hears this")).not.toThrow();
  });
});
