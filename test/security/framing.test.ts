import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { startStand } from "../contract/stand.ts";
import { signUp } from "../contract/accounts.ts";
import type { TestStand } from "../support/service.ts";

/** ASVS 4.2.1: a request whose end two readers could see at different places is refused, and its connection closed. */
let stand: TestStand;
beforeAll(async () => {
  stand = await startStand({ WEB_APP_PROTOCOL: "https" });
});
afterAll(() => stand.stop());

/** Bytes as they are, one each character. @returns what came back until the other side closed */
const send = (bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(Number(new URL(stand.url).port), "127.0.0.1", () => socket.write(bytes, "latin1"));
    socket.on("data", (part) => (answer += part.toString("latin1"))).on("close", () => resolve(answer));
    socket.on("error", reject).setTimeout(10_000, () => socket.destroy(new Error(`still open after: ${answer}`)));
  });
const statusesIn = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));

const clear = "POST /api/v1/tokens/clear/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
const get = "GET /health/live HTTP/1.1\r\nHost: x\r\n";
/** What somebody wants the next one on this connection to ask. */
const smuggled = "GET /api/v1/users/current/ HTTP/1.1\r\nHost: x\r\n\r\n";
const chunks = "2\r\n{}\r\n0\r\n\r\n";
const chunked = `${clear}Transfer-Encoding: chunked\r\n\r\n`;

const refused: Record<string, string> = {
  "a length and chunks": `${clear}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "chunks and a length": `${clear}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`,
  "an unknown coding": `${clear}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "chunks that are not the last coding": `${clear}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`,
  "a coding under the chunks": `${clear}Transfer-Encoding: gzip, chunked\r\n\r\n${chunks}${smuggled}`,
  "no coding by name": `${clear}Transfer-Encoding: identity\r\n\r\n${smuggled}`,
  "two codings": `${clear}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
  "chunks twice": `${clear}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "a space before the colon": `${clear}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "a control character in the coding": `${clear}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "two equal lengths": `${clear}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
  "two lengths": `${clear}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
  "a list of lengths": `${clear}Content-Length: 2, 2\r\n\r\n{}`,
  "a negative length": `${clear}Content-Length: -1\r\n\r\n{}`,
  "a length with a sign": `${clear}Content-Length: +2\r\n\r\n{}`,
  "a length in hex": `${clear}Content-Length: 0x2\r\n\r\n{}`,
  "a length with an exponent": `${clear}Content-Length: 1e2\r\n\r\n{}`,
  "a length beyond 64 bits": `${clear}Content-Length: 18446744073709551618\r\n\r\n{}`,
  "a length of nothing": `${clear}Content-Length: \r\n\r\n{}`,
  "a negative chunk": `${chunked}-2\r\n{}\r\n0\r\n\r\n`,
  "a chunk in 0x": `${chunked}0x2\r\n{}\r\n0\r\n\r\n`,
  "a chunk beyond 64 bits": `${chunked}fffffffffffffffff\r\n{}\r\n0\r\n\r\n`,
  "a chunk size and a space": `${chunked}2 \r\n{}\r\n0\r\n\r\n`,
  "chunks with bare line feeds": `${chunked}2\n{}\n0\n\n`,
  "a chunk that is longer than it says": `${chunked}2\r\n{}XX0\r\n\r\n`,
  "a line feed in a chunk's extension": `${chunked}2;a\nb\r\n{}\r\n0\r\n\r\n`,
  "20 KB of a chunk's extension": `${chunked}2;a=${"b".repeat(20_000)}\r\n{}\r\n0\r\n\r\n`,
  "a length after the chunks": `${chunked}2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n`,
  "a folded header": `${get}X-A: b\r\n c\r\n\r\n`,
  "a folded coding": `${clear}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${smuggled}`,
  "a fold before the first header": "GET /health/live HTTP/1.1\r\n Host: x\r\n\r\n",
  "bare line feeds": "GET /health/live HTTP/1.1\nHost: x\n\n",
  "one bare line feed": "GET /health/live HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n",
  "a bare carriage return": "GET /health/live HTTP/1.1\r\nHost: x\rX-A: b\r\n\r\n",
  "a bare line feed at the end": `${get}\n`,
  "NUL in a value": `${get}X-A: a\0b\r\n\r\n`,
  "NUL in a name": `${get}X\0A: b\r\n\r\n`,
  "a space in a name": `${get}X A: b\r\n\r\n`,
  "a header without a name": `${get}: b\r\n\r\n`,
  "a header without a colon": `${get}nothing\r\n\r\n`,
  "no host": "GET /health/live HTTP/1.1\r\n\r\n",
  "two hosts": `${get}Host: y\r\n\r\n`,
  "two equal hosts": `${get}HOST: x\r\n\r\n`,
  "a tab for a space": "GET\t/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
  "HTTP/0.9": "GET /health/live\r\n\r\n",
  "HTTP/1.2": "GET /health/live HTTP/1.2\r\nHost: x\r\n\r\n",
  "HTTP/2.0 in words": "GET /health/live HTTP/2.0\r\nHost: x\r\n\r\n",
  "the beginning of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "the beginning of TLS": "\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03",
  "the PROXY protocol": `PROXY TCP4 203.0.113.1 203.0.113.2 1 2\r\n${get}\r\n`,
  "a path that is not ASCII": "GET /health/\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
};
/** What Fastify refuses before any hook: the rules hold there too. */
const tooLong = `/api/v1/users/${"a".repeat(400)}/`;
for (const [name, path] of Object.entries({ "that cannot be decoded": "/%zz", "with too long a part": tooLong })) {
  refused[`a path ${name}`] = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n${smuggled}`;
  refused[`a path ${name}, two hosts`] = `GET ${path} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n${smuggled}`;
  refused[`a path ${name}, chunks without an end`] =
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`;
}
const otherwise: Record<string, [string, number, string]> = {
  "9 KB of a header's name": [`${get}${"a".repeat(9000)}: b\r\n\r\n`, 431, "malformed_request"],
  "9 KB of cookies": [`${get}Cookie: a=${"b".repeat(9000)}\r\n\r\n`, 431, "malformed_request"],
  "2,500 headers": [`${get}${"A:b\r\n".repeat(2500)}\r\n`, 431, "malformed_request"],
  "300 KB of headers and no end": [`${get}${"A: b\r\n".repeat(50_000)}`, 431, "malformed_request"],
  "a path of 9 KB": [`GET /${"a".repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, "malformed_request"],
  "100 KB after the chunks": [`${chunked}0\r\n${"X-A: b\r\n".repeat(10_000)}\r\n`, 431, "malformed_request"],
  "an expectation that nobody knows": [
    `${clear}Content-Length: 2\r\nExpect: 200-ok\r\n\r\n{}`,
    417,
    "malformed_request",
  ],
  "a body of 100 MB, on any path": [
    "PUT /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nxx",
    413,
    "body_too_large",
  ],
  "a body of 100 MB, on a path that cannot be decoded": [
    "PUT /%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nxx",
    413,
    "body_too_large",
  ],
  "a body of 100 MB, on a path with too long a part": [
    `PUT ${tooLong} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nxx`,
    413,
    "body_too_large",
  ],
  "a preflight with 100 MB": [
    "OPTIONS / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nxx",
    413,
    "body_too_large",
  ],
};

describe("refused once, in our words and with every security header, and the connection ends", () => {
  const all = Object.entries(otherwise).map(([name, how]) => [name, ...how] as const);
  const malformed = Object.entries(refused).map(([name, bytes]) => [name, bytes, 400, "malformed_request"] as const);
  test.each([...malformed, ...all])("%s", async (_, bytes, status, code) => {
    const answer = await send(bytes);
    // Some are refused as a request, and what follows once more: never is the rest of one taken for another.
    expect(new Set(statusesIn(answer))).toEqual(new Set([status]));
    expect(answer).toContain(`"code":"${code}"`);
    for (const header of [
      "cache-control: no-store",
      "content-security-policy: default-src 'none'; frame-ancestors 'none'",
      "x-content-type-options: nosniff",
      "referrer-policy: no-referrer",
      "strict-transport-security: max-age=31536000; includeSubDomains",
      "connection: close",
    ]) {
      expect(answer.toLowerCase()).toContain(header.toLowerCase());
    }
    expect(answer).not.toMatch(/fastify|node|stack|HPE_/i);
  });
});

test.each([
  ["headers", `${get}${"A: b\r\n".repeat(5000)}`],
  ["a request", "GET / HTTP/3\r\n\r\n"],
])("who does not hang up when his %s are refused, but goes on: he is hung up on", async (_, bytes) => {
  const began = performance.now();
  const socket = connect({ port: Number(new URL(stand.url).port), host: "127.0.0.1", allowHalfOpen: true });
  socket.resume().on("error", () => undefined);
  socket.write(bytes);
  const goOn = setInterval(() => socket.write("A: b\r\n"), 50);
  await new Promise((resolve) => socket.once("close", resolve));
  clearInterval(goOn);
  expect(performance.now() - began).toBeLessThan(4000);
});

describe("what is allowed is read to its one end", () => {
  test("a body in chunks: read, and nothing more is read from its connection", async () => {
    expect(
      statusesIn(await send(`${clear}Transfer-Encoding: Chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n${smuggled}`)),
    ).toEqual([200]);
  });
  test("a body in chunks of a GET: the same", async () => {
    expect(statusesIn(await send(`${get}Transfer-Encoding: chunked\r\n\r\n${chunks}${smuggled}`))).toEqual([200]);
  });
  test("7 KB of cookies", async () => {
    expect(statusesIn(await send(`${get}Connection: close\r\nCookie: a=${"b".repeat(7000)}\r\n\r\n`))).toEqual([200]);
  });
  test("three requests in a pipeline: three answers, in order", async () => {
    const last = "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    expect(statusesIn(await send(`${get}\r\n${smuggled}${last}`))).toEqual([200, 401, 404]);
  });
  test("a hundred in one packet: the connection ends", async () => {
    const answers = statusesIn(await send(`${get}\r\n`.repeat(100)));
    expect(answers.length).toBeLessThan(17);
  });
  test("a body that is shorter than it says: nothing is done before all of it is there", async () => {
    const { client, token } = await signUp(stand);
    const body = `Authorization: Bearer ${token}\r\nContent-Length: 300\r\n\r\n{}`;
    const socket = connect(Number(new URL(stand.url).port), "127.0.0.1", () => socket.end(clear + body));
    await new Promise((resolve) =>
      socket
        .on("error", () => undefined)
        .once("close", resolve)
        .resume(),
    );
    expect((await client.get("/api/v1/users/current/", { headers: { authorization: `Bearer ${token}` } })).status).toBe(
      200,
    );
  });
});

describe("no other protocol", () => {
  test("CONNECT: closed without a word", async () => {
    expect(await send("CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")).toBe("");
  });
  test.each([
    ["WebSocket", "websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
    ["HTTP/2", "h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
  ])("an upgrade to %s: answered as what it is otherwise, and nothing more is read", async (_, protocol) => {
    const answer = await send(`${get}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n${smuggled}`);
    expect([statusesIn(answer), answer.includes("101")]).toEqual([[200], false]);
  });
  test("13.4.4 TRACE: 405, and nothing of the request comes back", async () => {
    const answer = await send(
      "TRACE /health/live HTTP/1.1\r\nHost: x\r\nX-Secret: canary\r\nConnection: close\r\n\r\n",
    );
    expect([statusesIn(answer), answer.includes("canary")]).toEqual([[405], false]);
  });
});
