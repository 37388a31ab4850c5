import { describe, expect, test } from "@jest/globals";
import type { LogLevels } from "moleculer";
import { BrokerLogger } from "../../../mixins/broker-logger.ts";
import { memoryLog } from "../helpers.ts";

function logged(type: LogLevels, args: unknown[], bindings: { mod?: string } | null = { mod: "registry" }) {
  const log = memoryLog();
  new BrokerLogger(log).getLogHandler(bindings)(type, args);
  return log.lines;
}

describe("BrokerLogger", () => {
  test.each<[LogLevels, string]>([
    ["fatal", "error"],
    ["error", "error"],
    ["warn", "warn"],
    ["info", "debug"],
    ["debug", "debug"],
    ["trace", "debug"],
  ])("the broker's %s is our %s", (type, level) => {
    expect(logged(type, ["words"])).toEqual([{ level, fields: { module: "registry" }, message: "words" }]);
  });

  test.each([null, {}])("without a module (%j) it is the broker that speaks", (bindings) => {
    expect(logged("warn", ["words"], bindings)[0]?.fields).toEqual({ module: "broker" });
  });

  test("several texts are one sentence", () => {
    expect(logged("warn", ["Unable to", "connect."])[0]?.message).toBe("Unable to connect.");
  });

  test("the reason of an error is kept, wherever it stands", () => {
    for (const args of [
      ["Failed.", new Error("why")],
      [new Error("why"), "Failed."],
    ]) {
      expect(logged("error", args)[0]).toEqual({
        level: "error",
        fields: { module: "registry", reason: "why" },
        message: "Failed.",
      });
    }
  });

  test("parameters and packets do not reach the log: they may hold passwords", () => {
    const lines = logged("warn", ["Validation failed.", { params: { password: "hunter2" } }]);
    expect(JSON.stringify(lines)).not.toContain("hunter2");
  });
});
