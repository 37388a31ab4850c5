import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import sharp from "sharp";
import { maxUploadBytes } from "../../services/api-gateway/uploads.ts";
import { signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { jpegStructure, pictureForm, smallPng } from "../support/pictures.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";
import { hostilePictures, payload, refusals, type Hostile } from "./hostile-pictures.ts";

const pictures = await hostilePictures();
const own = "/api/v1/users/current/image/";

let stand: TestStand;
let running: ServiceProcess;
let person: Person;
beforeAll(async () => {
  stand = await createStand();
  running = startProcess({
    ...stand.env,
    // Whose log can be read; Kafka is demanded there, nobody listens, and events wait in the outbox.
    ...{ NODE_ENV: "production", PASSWORD_HASH_COST: "10" },
    ...{ KAFKA_BOOTSTRAP_SERVER_HOST: "127.0.0.1", KAFKA_BOOTSTRAP_SERVER_PORT: "1" },
  });
  await running.ready();
  person = await signUp(stand);
});
afterAll(async () => {
  await running.stop();
  await stand.stop();
});

const send = ({ bytes, name, type }: Hostile) =>
  person.client.request("PUT", own, {
    form: pictureForm(bytes, { ...(name !== undefined && { name }), ...(type !== undefined && { type }) }),
  });
const megabytes = (): number => Number(execFileSync("ps", ["-o", "rss=", "-p", String(running.pid)])) / 1024;

async function download(url: string): Promise<Response> {
  return await fetch(stand.url + new URL(url).pathname);
}

/** Nothing but pixels: the segments that a picture needs, and nothing after its end. */
async function expectOnlyPixels(picture: Buffer): Promise<void> {
  const { format, width, height, exif, icc, xmp, iptc, orientation, comments, pages } = await sharp(picture).metadata();
  expect({ format, width, height, exif, icc, xmp, iptc, orientation, comments, pages }).toEqual({
    format: "jpeg",
    width: 512,
    height: 512,
  });
  const { markers, trailing } = jpegStructure(picture);
  // JFIF, quantisation, frame, Huffman, scan, end.
  expect(markers.filter((marker) => ![0xe0, 0xdb, 0xc0, 0xc4, 0xda, 0xd9].includes(marker))).toEqual([]);
  expect(trailing).toBe(0);
  for (const trace of [payload, "PK\x03\x04", "<script", "<?php", "Exif", "GPS"]) {
    expect([trace, picture.includes(trace, 0, "latin1")]).toEqual([trace, false]);
  }
}

describe.each(Object.entries(pictures))("%s", (_, hostile) => {
  const { outcome } = hostile;

  test(`sent as a picture: ${outcome}`, async () => {
    const before = await stand.query("select image_path from user_profiles where user_id = $1", [person.id]);
    const answer = await send(hostile);
    if (outcome !== "harmless") {
      const [status, body] = refusals[outcome];
      expect([answer.status, answer.text]).toEqual([status, expect.stringMatching(body)]);
      expect(await stand.query("select image_path from user_profiles where user_id = $1", [person.id])).toEqual(before);
      return;
    }
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    const { image_url } = answer.json()["user_profile"] as { image_url: string };
    const served = await download(image_url);
    expect([served.status, served.headers.get("content-type"), served.headers.get("x-content-type-options")]).toEqual([
      200,
      "image/jpeg",
      "nosniff",
    ]);
    await expectOnlyPixels(Buffer.from(await served.arrayBuffer()));
  });
});

test("a client that hangs up in the middle is no error that somebody has to look at", async () => {
  const part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n';
  const headers = [
    `PUT ${own} HTTP/1.1`,
    "Host: a",
    `Authorization: Bearer ${person.token}`,
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Length: 100000",
    "Expect: 100-continue",
    "X-Request-Id: hangs-up",
  ];
  const about = (id: string) => running.logs().filter(({ request_id }) => request_id === id);
  const socket = connect(Number(new URL(stand.url).port), "127.0.0.1");
  socket.write(`${headers.join("\r\n")}\r\n\r\n`);
  // It has begun to read then.
  await once(socket, "data");
  socket.write(part + "a".repeat(5000), () => socket.resetAndDestroy());
  await once(socket, "close");
  await person.client.get("/api/v1/users/current/", { headers: { "x-request-id": "comes-after" } });
  await eventually("what came after is in the log", () => (about("comes-after").length > 0 ? true : undefined));
  expect(about("hangs-up")).toEqual([]);
});

interface Sending {
  readonly atMost: number;
  readonly end?: string;
  readonly by?: string;
  readonly type?: string;
  /** Of each chunk. */
  readonly extension?: string;
}
const form = "multipart/form-data; boundary=x";

/** A form in chunks. @returns what came back until the other side closed, how much it had taken, and how long that was */
async function sendForm(
  beginning: string,
  filler: string,
  { atMost, end = "", by = person.token, type = form, extension = "" }: Sending,
) {
  const began = performance.now();
  const socket = connect(Number(new URL(stand.url).port), "127.0.0.1");
  let answer = "";
  socket.on("data", (part) => (answer += part.toString("latin1"))).on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const chunk = (bytes: string) => `${bytes.length.toString(16)}${extension}\r\n${bytes}\r\n`;
  const headers = [
    `PUT ${own} HTTP/1.1`,
    "Host: a",
    `Authorization: Bearer ${by}`,
    `Content-Type: ${type}`,
    "Transfer-Encoding: chunked",
  ];
  socket.write(`${headers.join("\r\n")}\r\n\r\n`);
  if (beginning !== "") socket.write(chunk(beginning), "latin1");
  for (let left = atMost - beginning.length - end.length; left > 0 && socket.writable; left -= filler.length) {
    const isLast = end !== "" && left <= filler.length;
    const bytes = chunk(filler.slice(0, left)) + (isLast ? `${chunk(end)}0\r\n\r\n` : "");
    const drained = new Promise((resolve) => socket.once("drain", resolve));
    if (!socket.write(bytes, "latin1")) await Promise.race([drained, closed]);
  }
  await closed;
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
  return { status, answer, taken: socket.bytesWritten - socket.writableLength, ms: performance.now() - began };
}

describe("a form in chunks", () => {
  const part = (disposition: string) => `--x\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`;
  const kilobytes = "a".repeat(50_000);
  test.each([
    ["a field", part('name="a"'), kilobytes],
    ["before the first part", "", kilobytes],
    ["after the last part", `${part('name="a"')}a\r\n--x--\r\n`, kilobytes],
    ["a part's headers", "--x\r\n", `X-A: ${"a".repeat(43)}\r\n`.repeat(1000)],
    ["a part without a name", "--x\r\nX-A: a\r\n\r\n", kilobytes],
  ])("%s never ends: told that it is too large, and no more of it is taken", async (_, beginning, filler) => {
    // As much as tells that it is: nothing is left in the sockets that would make of the answer a reset.
    const told = await sendForm(beginning, filler, { atMost: maxUploadBytes + 1 });
    expect([told.status, told.answer]).toEqual([413, expect.stringContaining('"code":"body_too_large"')]);
    expect(told.answer.toLowerCase()).toContain("connection: close");
    // A pause after each 64 KB: others are served meanwhile.
    expect(told.ms).toBeGreaterThan(200);
    const endless = await sendForm(beginning, filler, { atMost: 60e6 });
    expect([413, 0]).toContain(endless.status);
    // What the sockets hold is taken as well.
    expect(endless.taken).toBeLessThan(maxUploadBytes + 10e6);
  });

  test("10 KB of extension for each byte: the same", async () => {
    const extension = `;a=${"b".repeat(10_000)}`;
    const { status, taken } = await sendForm(part('name="a"'), "a", { atMost: 6000, extension });
    expect([413, 0]).toContain(status);
    expect(taken).toBeLessThan(2 * maxUploadBytes + 10e6);
  });

  test.each([
    ["of nobody", 401, { by: "nobody" }],
    ["without a boundary", 400, { type: "multipart/form-data" }],
    ["that is none", 415, { type: "image/jpeg" }],
  ])("%s, without an end: refused, and closed at once", async (_, status, how) => {
    const { status: answered, taken, ms } = await sendForm("", kilobytes, { atMost: 60e6, ...how });
    // A reset may overtake the answer.
    expect([status, 0]).toContain(answered);
    expect(taken).toBeLessThan(10e6);
    expect(ms).toBeLessThan(5000);
  });

  test("three at once of an account, without an end: two are told that it is too large, one is closed at once", async () => {
    const three = [1, 2, 3].map(() => sendForm(part('name="a"'), kilobytes, { atMost: maxUploadBytes + 1 }));
    const [refused, ...others] = (await Promise.all(three)).toSorted((one, other) => one.ms - other.ms);
    expect([503, 0]).toContain(refused?.status);
    expect(refused?.taken).toBeLessThan(maxUploadBytes);
    expect(others.map(({ status }) => status)).toEqual([413, 413]);
  });

  test("a file of 5 MB: taken; of a byte more: too large", async () => {
    const [start, end] = [part('name="image"; filename="a.png"'), "\r\n--x--\r\n"];
    const file = async (bytes: number) => {
      const atMost = start.length + bytes + end.length;
      return await sendForm(start + smallPng().toString("latin1"), "\0".repeat(50_000), { atMost, end });
    };
    expect((await file(5 * 1024 * 1024)).status).toBe(200);
    expect((await file(5 * 1024 * 1024 + 1)).status).toBe(413);
  });
});

test("clients that hang up before it is known who they are: there is room for the next one", async () => {
  // More than there is room for; and nobody has asked with these tokens before, so that the gateway has to ask who it is.
  const people = await Promise.all(Array.from({ length: 5 }, () => signUp(stand)));
  for (const { token } of people.flatMap((one) => [one, one])) {
    const headers = [
      `PUT ${own} HTTP/1.1`,
      "Host: a",
      `Authorization: Bearer ${token}`,
      "Content-Type: multipart/form-data; boundary=x",
      "Content-Length: 100000",
    ];
    const socket = connect(Number(new URL(stand.url).port), "127.0.0.1");
    socket.end(`${headers.join("\r\n")}\r\n\r\n--x`).resume();
    await once(socket, "close");
  }
  for (const { client } of people) {
    const form = pictureForm(
      await sharp({ create: { width: 9, height: 9, channels: 3, background: "red" } })
        .png()
        .toBuffer(),
    );
    expect((await client.request("PUT", own, { form })).status).toBe(200);
  }
});

test("there are more than twenty of them, of every outcome", () => {
  const outcomes = Object.values(pictures).map(({ outcome }) => outcome);
  expect(outcomes.length).toBeGreaterThan(20);
  expect(new Set(outcomes)).toEqual(new Set(["harmless", ...Object.keys(refusals)]));
});

test("all of them, twice: the service needs no more memory than for the first time", async () => {
  const all = async () => {
    for (const hostile of Object.values(pictures)) expect((await send(hostile)).status).toBeLessThan(500);
    return megabytes();
  };
  const first = await all();
  const last = await all();
  // 46 MB are sent each time, and the garbage of them is collected when V8 thinks fit.
  expect(last - first).toBeLessThan(80);
}, 60_000);
