import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import sharp, { type OverlayOptions } from "sharp";
import { eventually } from "../support/eventually.ts";
import { pictureForm, smallPng } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { fieldsOf, fullViewFields, said, signUp, type Person } from "./accounts.ts";

const own = "/api/v1/users/current/image/";
const noFile = [400, { image: ["No file was submitted."] }];
const tooLarge = [413, { detail: "The request body is too large.", code: "body_too_large" }];
const unreadable = [400, { detail: "The request could not be read.", code: "malformed_request" }];
const maxBytes = 5 * 1024 * 1024;

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

const upload = (person: Person, form: FormData, path = own) => person.client.request("PUT", path, { form });
const files = async (person: Person): Promise<string[]> => {
  const all = await readdir(join(service.config.dataDir, "media", "avatars")).catch(() => []);
  return all.filter((name) => name.startsWith(`${person.id}-`));
};
const imageUrl = (answer: { json(): Record<string, unknown> }) =>
  (answer.json()["user_profile"] as { image_url: string }).image_url;
const events = async (person: Person) =>
  await service.query<{ type: string; version: number; data: Record<string, unknown> }>(
    "select type, version, data from outbox where user_id = $1 order by version",
    [person.id],
  );
async function download(url: string, headers: Record<string, string> = {}) {
  const answer = await fetch(service.url + new URL(url).pathname, { headers });
  return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
}
/** The colour in the middle of each quarter: top left, top right, bottom left, bottom right. */
async function quarters(picture: Buffer): Promise<string[]> {
  const { data, info } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => {
    const from = (y * info.width + x) * info.channels;
    return [...data.subarray(from, from + 3)].map((value) => (value > 127 ? "1" : "0")).join("");
  };
  const [near, far] = [info.width >> 2, info.width - (info.width >> 2)];
  return [at(near, near), at(far, near), at(near, far), at(far, far)];
}
const names: Record<string, string> = { "100": "red", "010": "green", "001": "blue", "111": "white" };

/** Red and green above blue and white. */
async function fourColours(side = 64) {
  const half = side / 2;
  const quarter = async (background: string, left: number, top: number): Promise<OverlayOptions> => ({
    input: await sharp({ create: { width: half, height: half, channels: 3, background } })
      .png()
      .toBuffer(),
    left,
    top,
  });
  // Four decoded PNGs, put together from raw pixels: other loaders than PNG's are blocked in this process.
  const parts = [
    await quarter("#f00", 0, 0),
    await quarter("#0f0", half, 0),
    await quarter("#00f", 0, half),
    await quarter("#fff", half, half),
  ];
  const made = await sharp({ create: { width: side, height: side, channels: 3, background: "#000" } })
    .composite(parts)
    .png()
    .toBuffer();
  return sharp(made);
}

describe("PUT /users/current/image/", () => {
  test.each(["jpeg", "png", "webp"] as const)(
    "%s: becomes a picture of 512 x 512 that everybody sees",
    async (format) => {
      const person = await signUp(service);
      const file = await (await fourColours()).toFormat(format).toBuffer();
      const answer = await upload(person, pictureForm(file));
      expect([answer.status, fieldsOf(answer.json())]).toEqual([200, fullViewFields]);
      const url = imageUrl(answer);
      expect(url).toMatch(new RegExp(`^${service.url}/media/avatars/${person.id}-[0-9a-f]{32}-[0-9a-f]{8}\\.jpg$`));
      expect(url.length).toBeLessThanOrEqual(200);
      for (const path of ["/api/v1/users/current/", `/api/v1/users/${person.id}/`]) {
        expect(imageUrl(await person.client.get(path))).toBe(url);
      }
      expect(imageUrl(await service.client().get(`/api/v1/users/${person.id}/`))).toBe(url);

      const { status, body } = await download(url);
      expect([status, await sharp(body).metadata()]).toMatchObject([200, { format: "jpeg", width: 512, height: 512 }]);
      expect((await quarters(body)).map((colour) => names[colour])).toEqual(["red", "green", "blue", "white"]);
      expect(body.length).toBeLessThan(150_000);
    },
  );

  test.each([
    [1, ["red", "green", "blue", "white"]],
    [2, ["green", "red", "white", "blue"]],
    [3, ["white", "blue", "green", "red"]],
    [4, ["blue", "white", "red", "green"]],
    [5, ["red", "blue", "green", "white"]],
    [6, ["blue", "red", "white", "green"]],
    [7, ["white", "green", "blue", "red"]],
    [8, ["green", "white", "red", "blue"]],
  ])("EXIF orientation %i: the picture stands upright", async (orientation, colours) => {
    const person = await signUp(service);
    const file = await (await fourColours()).withMetadata({ orientation }).jpeg().toBuffer();
    const answer = await upload(person, pictureForm(file));
    const { body } = await download(imageUrl(answer));
    expect((await quarters(body)).map((colour) => names[colour])).toEqual(colours);
    expect((await sharp(body).metadata()).orientation).toBeUndefined();
  });

  test("a wide picture is cropped and not squeezed; what is transparent becomes white", async () => {
    const person = await signUp(service);
    const sides = { width: 300, height: 100, channels: 4, background: "#f00" } as const;
    const middle = { width: 100, height: 100, channels: 4, background: "#0000" } as const;
    const file = await sharp({ create: sides })
      .composite([{ input: await sharp({ create: middle }).png().toBuffer(), left: 100, top: 0, blend: "source" }])
      .png()
      .toBuffer();
    const { body } = await download(imageUrl(await upload(person, pictureForm(file))));
    expect((await quarters(body)).map((colour) => names[colour])).toEqual(["white", "white", "white", "white"]);
  });

  test("the picture that was there before is removed, and customers' reviewers hear of the new one", async () => {
    const person = await signUp(service);
    const first = imageUrl(await upload(person, pictureForm()));
    const second = imageUrl(await upload(person, pictureForm()));
    expect(second).not.toBe(first);
    expect(await files(person)).toEqual([second.split("/").at(-1)]);
    expect(await events(person)).toMatchObject([
      { type: "user.registered", version: 1 },
      { type: "user.profile_updated", version: 2, data: { image_url: first, seen_by_others: true } },
      { type: "user.profile_updated", version: 3, data: { image_url: second, seen_by_others: true } },
    ]);
    expect((await download(first)).status).toBe(404);
  });

  test("the same picture again: the address stays, and nobody hears of it", async () => {
    const person = await signUp(service);
    const file = smallPng();
    const first = imageUrl(await upload(person, pictureForm(file)));
    const again = await upload(person, pictureForm(file));
    expect([again.status, imageUrl(again)]).toEqual([200, first]);
    expect(await files(person)).toHaveLength(1);
    expect(await events(person)).toHaveLength(2);
  });

  test("other fields of the form are ignored", async () => {
    const person = await signUp(service);
    const form = pictureForm();
    form.append("email", "other@example.com");
    form.append("role", "MO");
    const answer = await upload(person, form);
    expect([answer.status, answer.json()]).toMatchObject([200, { email: person.email, role: "CU" }]);
  });

  test.each([["without a trailing slash", own.slice(0, -1)]])("%s", async (_, path) => {
    expect((await upload(await signUp(service), pictureForm(), path)).status).toBe(200);
  });
});

describe("PUT /users/{id}/image/", () => {
  test("a moderator gives somebody a picture", async () => {
    const [moderator, person] = [await signUp(service, "MO"), await signUp(service)];
    const answer = await upload(moderator, pictureForm(), `/api/v1/users/${person.id}/image/`);
    expect([answer.status, answer.json()]).toMatchObject([200, { id: person.id, email: person.email }]);
    expect(await files(person)).toHaveLength(1);
    expect(await events(person)).toMatchObject([{}, { type: "user.profile_updated" }]);
    expect(await files(moderator)).toEqual([]);
  });

  test("nobody else does", async () => {
    const [other, person] = [await signUp(service, "RM", { verified: true }), await signUp(service)];
    expect(said(await upload(other, pictureForm(), `/api/v1/users/${person.id}/image/`))).toEqual([
      403,
      { detail: "You do not have permission to perform this action.", code: "permission_denied" },
    ]);
    expect(await files(person)).toEqual([]);
  });

  test("of an account that does not exist", async () => {
    const moderator = await signUp(service, "MO");
    const answer = await upload(moderator, pictureForm(), "/api/v1/users/999999999/image/");
    expect(said(answer)).toEqual([404, { detail: "Not found.", code: "not_found" }]);
    expect((await upload(moderator, pictureForm(), "/api/v1/users/x/image/")).status).toBe(400);
  });
});

describe("what is refused", () => {
  let person: Person;
  beforeAll(async () => {
    person = await signUp(service);
  });
  afterEach(async () => expect(await files(person)).toEqual([]));
  const put = async (headers: Record<string, string>, raw?: string) =>
    said(await person.client.request("PUT", own, { headers, ...(raw !== undefined && { raw }) }));
  const form = "multipart/form-data; boundary=x";

  test("no file: no body, an empty form, a field instead of a file, a file of another name", async () => {
    expect(await put({})).toEqual(noFile);
    expect(await put({ "content-type": form })).toEqual(noFile);
    expect(await put({ "content-type": form }, "--x--\r\n")).toEqual(noFile);
    const field = new FormData();
    field.append("image", "not a file");
    expect(said(await upload(person, field))).toEqual(noFile);
    expect(said(await upload(person, pictureForm(smallPng(), { field: "avatar" })))).toEqual(noFile);
  });

  test("a form that breaks off, has no boundary or a forbidden name", async () => {
    const part = '--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc';
    expect(await put({ "content-type": form }, part)).toEqual(unreadable);
    expect(await put({ "content-type": "multipart/form-data" }, "abc")).toEqual(unreadable);
    expect((await upload(person, pictureForm(smallPng(), { field: "__proto__" }))).status).toBe(400);
  });

  test("more than 5 MB, two files, or a heap of fields", async () => {
    const largest = await upload(person, pictureForm(Buffer.alloc(maxBytes)));
    expect([largest.status, largest.text]).toEqual([400, expect.stringContaining("Upload a valid image.")]);
    expect(said(await upload(person, pictureForm(Buffer.alloc(maxBytes + 1))))).toEqual(tooLarge);
    expect(said(await upload(person, pictureForm(Buffer.alloc(2 * maxBytes))))).toEqual(tooLarge);
    const two = pictureForm();
    two.append("image", new Blob(["x"]), "b.png");
    expect(said(await upload(person, two))).toEqual(tooLarge);
    const fields = pictureForm();
    for (let i = 0; i < 40; i++) fields.append(`field${i}`, "x");
    expect(said(await upload(person, fields))).toEqual(tooLarge);
  });

  test("anything but a form, and a form anywhere else", async () => {
    const noForm = [415, { detail: "The request body must be multipart/form-data.", code: "multipart_required" }];
    expect(await put({ "content-type": "application/json" }, "{}")).toEqual(noForm);
    expect(await put({ "content-type": "image/png" }, "x")).toEqual(noForm);
    expect(await put({ "content-type": "multipart/mixed; boundary=x" }, "--x--")).toEqual(noForm);
    for (const path of ["/api/v1/users/current/", "/api/v1/tokens/"]) {
      const method = path.includes("tokens") ? "POST" : "PUT";
      expect((await person.client.request(method, path, { form: pictureForm() })).status).toBe(415);
    }
  });

  test("from a foreign page, and without signing in", async () => {
    const headers = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    const foreign = await person.client.request("PUT", own, { headers, form: pictureForm() });
    expect([foreign.status, foreign.json()["code"]]).toEqual([403, "cross_site_request"]);
    const anonymous = await service.client().request("PUT", own, { form: pictureForm() });
    expect([anonymous.status, anonymous.json()["code"]]).toEqual([401, "not_authenticated"]);
  });

  test("other methods", async () => {
    for (const method of ["GET", "POST", "PATCH", "DELETE"]) {
      const answer = await person.client.request(method, own);
      expect([method, answer.status, answer.headers.get("allow")]).toEqual([method, 405, "PUT"]);
    }
  });
});

/** An upload that the gateway has begun to read, and that has sent all but its last bytes. */
async function almostSent(
  person: Person,
): Promise<{ request: ClientRequest; finish: () => Promise<[number, unknown]> }> {
  const body = Buffer.from(await new Response(pictureForm()).arrayBuffer());
  const boundary = /^--(\S+)/.exec(body.toString("latin1"))?.[1] ?? "";
  // The gateway knows the account then, and needs nobody's answer before it reads.
  expect((await person.client.get("/api/v1/users/current/")).status).toBe(200);
  const request = httpRequest(service.url + own, {
    method: "PUT",
    agent: false,
    headers: {
      authorization: `Bearer ${person.token}`,
      "content-type": `multipart/form-data; boundary=${boundary}`,
      "content-length": body.length,
      expect: "100-continue",
    },
  });
  request.on("error", () => undefined);
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  answered.catch(() => undefined);
  request.flushHeaders();
  await once(request, "continue");
  request.write(body.subarray(0, -10));
  return {
    request,
    finish: async () => {
      request.end(body.subarray(-10));
      const [answer] = await answered;
      return [answer.statusCode ?? 0, JSON.parse(await text(answer))];
    },
  };
}

describe("uploads that take their time", () => {
  test("in chunks of 200 bytes: arrives whole", async () => {
    const person = await signUp(service);
    const form = new Response(pictureForm(await (await fourColours(128)).png({ compressionLevel: 0 }).toBuffer()));
    const request = httpRequest(service.url + own, {
      method: "PUT",
      headers: { authorization: `Bearer ${person.token}`, "content-type": form.headers.get("content-type") ?? "" },
    });
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    const body = Buffer.from(await form.arrayBuffer());
    expect(body.length).toBeGreaterThan(16 * 1024);
    for (let from = 0; from < body.length; from += 200) request.write(body.subarray(from, from + 200));
    request.end();
    const [answer] = await answered;
    const sent = JSON.parse(await text(answer)) as Record<string, unknown>;
    expect(answer.statusCode).toBe(200);
    const url = imageUrl({ json: () => sent });
    expect((await quarters((await download(url)).body)).map((colour) => names[colour])).toEqual([
      "red",
      "green",
      "blue",
      "white",
    ]);
  });

  test("nine at once on one node: the ninth is told to come again, the eight are finished", async () => {
    const people = await Promise.all(Array.from({ length: 9 }, () => signUp(service)));
    const last = people.pop()!;
    const slow = await Promise.all(people.map(almostSent));
    const refused = await upload(last, pictureForm());
    expect(said(refused)).toEqual([503, { detail: "Try again later.", code: "unavailable" }]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await Promise.all(slow.map(({ finish }) => finish()))).map(([status]) => status)).toEqual(
      people.map(() => 200),
    );
    expect((await upload(last, pictureForm())).status).toBe(200);
  });

  test("three at once of one account: the third is told to come again, the two are finished, others are not held up", async () => {
    const [person, other] = [await signUp(service), await signUp(service)];
    const slow = [await almostSent(person), await almostSent(person)];
    expect((await upload(person, pictureForm())).status).toBe(503);
    expect((await upload(other, pictureForm())).status).toBe(200);
    expect((await Promise.all(slow.map(({ finish }) => finish()))).map(([status]) => status)).toEqual([200, 200]);
    expect((await upload(person, pictureForm())).status).toBe(200);
  });

  test("a client that goes away in the middle leaves nothing, and its place is free", async () => {
    const people = await Promise.all(Array.from({ length: 9 }, () => signUp(service)));
    const last = people.pop()!;
    const slow = await Promise.all(people.map(almostSent));
    expect((await upload(last, pictureForm())).status).toBe(503);
    for (const { request } of slow) request.destroy();
    await eventually("there is room again", async () =>
      (await upload(last, pictureForm())).status === 200 ? true : undefined,
    );
    for (const person of people) {
      expect(await files(person)).toEqual([]);
      expect(await events(person)).toHaveLength(1);
    }
  });

  test("somebody who is deactivated while he sends: refused", async () => {
    const [moderator, person] = [await signUp(service, "MO"), await signUp(service)];
    const slow = await almostSent(person);
    const body = { is_active: false };
    expect((await moderator.client.request("PATCH", `/api/v1/users/${person.id}/`, { body })).status).toBe(200);
    await eventually("the gateway knows", async () =>
      (await person.client.get("/api/v1/users/current/")).status === 401 ? true : undefined,
    );
    expect(await slow.finish()).toEqual([401, expect.objectContaining({ code: "inactive_account" })]);
    expect(await files(person)).toEqual([]);
  });
});

describe("GET /media/avatars/{name}", () => {
  test("may be kept for ever, and shown by other sites, but run nowhere", async () => {
    const url = imageUrl(await upload(await signUp(service), pictureForm()));
    const { status, headers } = await download(url);
    expect(status).toBe(200);
    expect(Object.fromEntries(headers)).toMatchObject({
      "cache-control": "public, max-age=31536000, immutable",
      "content-type": "image/jpeg",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "cross-origin-resource-policy": "cross-origin",
      "x-content-type-options": "nosniff",
    });
    const etag = headers.get("etag") ?? "";
    const again = await download(url, { "if-none-match": etag });
    expect([again.status, again.body.length, again.headers.get("etag")]).toEqual([304, 0, etag]);
    expect((await download(url, { "if-none-match": '"other"' })).status).toBe(200);
  });

  test.each([
    "1-00000000000000000000000000000000-00000000.jpg",
    "1-00000000000000000000000000000000-00000000.jpg.part",
    "..%2f..%2fsecrets.json",
    "%2e%2e%2fsecrets.json",
    "x".repeat(290),
    "%00",
    "secrets.json",
  ])("%s: there is none", async (name) => {
    const answer = await service.client().get(`/media/avatars/${name}`);
    expect(said(answer)).toEqual([404, { detail: "Not found.", code: "not_found" }]);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });
});
