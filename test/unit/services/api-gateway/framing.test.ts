import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { describe, expect, test } from "@jest/globals";
import { framingProblem } from "../../../../services/api-gateway/framing.ts";
import { maxUploadBytes } from "../../../../services/api-gateway/uploads.ts";

/** A request as Node's parser hands it on. */
function request(headers: readonly (readonly [string, string])[], httpVersion = "1.1"): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.httpVersion = httpVersion;
  message.rawHeaders = headers.flat();
  message.headers = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
  return message;
}
const host = ["Host", "id.example.com"] as const;

describe("framingProblem", () => {
  test.each([
    ["one host", request([host])],
    ["HTTP/1.0, which has none", request([], "1.0")],
    ["chunks", request([host, ["Transfer-Encoding", "Chunked"]])],
    ["the longest body that any route takes", request([host, ["Content-Length", String(maxUploadBytes)]])],
  ])("%s: none", (_, message) => {
    expect(framingProblem(message)).toBeUndefined();
  });

  test.each([
    ["no host", request([["Accept", "*/*"]])],
    ["two hosts", request([host, ["HOST", "evil.example"]])],
    ["two hosts, HTTP/1.0", request([host, host], "1.0")],
    ["a coding under the chunks", request([host, ["Transfer-Encoding", "gzip, chunked"]])],
    ["another coding", request([host, ["Transfer-Encoding", "identity"]])],
    ["another version", request([host], "2.0")],
    ["no version", request([host], "0.9")],
  ])("%s: cannot be read", (_, message) => {
    expect(framingProblem(message)).toBe("malformed_request");
  });

  test("a body that no route takes: too large, before a byte of it is read", () => {
    expect(framingProblem(request([host, ["Content-Length", String(maxUploadBytes + 1)]]))).toBe("body_too_large");
  });
});
