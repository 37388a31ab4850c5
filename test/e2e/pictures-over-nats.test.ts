import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { mkdtemp, readdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { signUp, type Person } from "../contract/accounts.ts";
import { eventually } from "../support/eventually.ts";
import { describeWithNats, startNats, type RunningNats } from "../support/nats.ts";
import { pictureForm } from "../support/pictures.ts";
import { startProcess, type ServiceProcess } from "../support/process.ts";
import { createStand, type TestStand } from "../support/service.ts";

const megabyte = 1024 * 1024;

describeWithNats("a gateway and `users`, each with a disk of its own, over NATS", () => {
  let nats: RunningNats;
  let stand: TestStand;
  let gateway: ServiceProcess;
  let users: ServiceProcess;
  let usersFolder: string;
  let person: Person;
  const startUsers = () => startProcess({ ...stand.env, SERVICES: "users", DATA_DIR: usersFolder });

  beforeAll(async () => {
    nats = await startNats();
    stand = await createStand({ TRANSPORTER: nats.url });
    usersFolder = await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "users-"));
    gateway = startProcess({ ...stand.env, SERVICES: "auth,mailer,events,api-gateway" });
    users = startUsers();
    await Promise.all([gateway.ready(), users.ready()]);
    person = await eventually("they have found each other", async () => {
      const found = await signUp(stand);
      return (await found.client.get("/api/v1/users/current/")).status === 200 ? found : undefined;
    });
  }, 60_000);
  afterAll(async () => {
    await Promise.all([gateway.stop(), users.stop()]);
    await stand.stop();
    await nats.stop();
  }, 60_000);

  const upload = (file: Buffer) =>
    person.client.request("PUT", "/api/v1/users/current/image/", { form: pictureForm(file) });

  /** A real picture with that much behind its end. */
  const padded = async (colour: string, size: number, filler: number): Promise<Buffer> => {
    const picture = await sharp({ create: { width: 900, height: 700, channels: 3, background: colour } })
      .jpeg()
      .toBuffer();
    return Buffer.concat([picture, Buffer.alloc(size - picture.length, filler)]);
  };

  test.each([
    // As decimal numbers, each with its comma, these bytes would be the longest there are.
    ["4.9 MB, most of them 0xFF", "#aa0000", Math.floor(4.9 * megabyte), 0xff],
    ["exactly 5 MB", "#00aa00", 5 * megabyte, 0x00],
  ])("%s: becomes a picture, and is read back", async (_, colour, size, filler) => {
    const answer = await upload(await padded(colour, size, filler));
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    const { image_url } = answer.json()["user_profile"] as { image_url: string };
    const served = await fetch(image_url);
    const picture = Buffer.from(await served.arrayBuffer());
    expect([served.status, await sharp(picture).metadata()]).toMatchObject([200, { format: "jpeg", width: 512 }]);
    const { channels } = await sharp(picture).stats();
    const expected = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    channels.forEach(({ mean }, index) => expect(Math.abs(mean - (expected[index] ?? 0))).toBeLessThan(4));
    expect(await readdir(join(usersFolder, "media", "avatars"))).toEqual([image_url.split("/").at(-1)]);
  });

  test("a file that is no picture: refused from there as from here", async () => {
    const answer = await upload(Buffer.alloc(4 * megabyte, "no picture"));
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("Upload a valid image.")]);
  });

  test("8 at once: each is taken or told to come again", async () => {
    const files = await Promise.all(Array.from({ length: 8 }, (_, n) => padded(`#00000${n}`, 4 * megabyte, 1)));
    const answers = await Promise.all(files.map((file) => upload(file)));
    expect(answers.every(({ status }) => status === 200 || status === 503)).toBe(true);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    expect(await readdir(join(usersFolder, "media", "avatars"))).toHaveLength(1);
  });

  test("`users` killed: 503, and all is well after its return", async () => {
    const file = await padded("#00a", 4 * megabyte, 7);
    await users.kill();
    try {
      const answer = await upload(file);
      expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, expect.any(String)]);
    } finally {
      users = startUsers();
      await users.ready();
    }
    await eventually("it is taken again", async () => ((await upload(file)).status === 200 ? true : undefined), 40_000);
  }, 90_000);
});
