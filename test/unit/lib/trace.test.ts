import { describe, expect, test } from "@jest/globals";
import { currentTraceparent, traceparentOf, withTrace } from "../../../lib/trace.ts";

const sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("traceparentOf", () => {
  test("what a caller sent in the form of W3C Trace Context goes on", () => {
    expect(traceparentOf(sent)).toBe(sent);
  });

  test.each([
    ["nothing", undefined],
    ["a list", [sent]],
    ["text", "hello"],
    ["capitals", sent.toUpperCase()],
    ["a line break behind it", `${sent}\n`],
    ["another version", sent.replace(/^00/, "01")],
    ["a trace of zeros", `00-${"0".repeat(32)}-b7ad6b7169203331-01`],
  ])("%s: a trace of our own begins", (_, header) => {
    const own = traceparentOf(header);
    expect(own).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(traceparentOf(header)).not.toBe(own);
  });
});

test("withTrace: what runs within it, also later, sees it, and nobody else", async () => {
  const later = async () => {
    await Promise.resolve();
    return currentTraceparent();
  };
  expect(await withTrace(sent, later)).toBe(sent);
  expect(currentTraceparent()).toBeUndefined();
});
