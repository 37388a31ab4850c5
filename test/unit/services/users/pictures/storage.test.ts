import { beforeEach, describe, expect, test } from "@jest/globals";
import { mkdtemp, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isPictureName, nameIn, pathOf, pictureName } from "../../../../../services/users/pictures/picture-name.ts";
import { localFolder, type PictureStorage } from "../../../../../services/users/pictures/storage.ts";
import { rejection } from "../../../helpers.ts";

const picture = Buffer.from("a picture");
const name = pictureName(7, picture);

let folder: string;
let storage: PictureStorage;
beforeEach(async () => {
  folder = join(await mkdtemp(join(process.env["TEST_FOLDER"] ?? "", "pictures-")), "media", "avatars");
  storage = localFolder(folder);
});
const writtenBefore = async (time: number) => {
  const names: string[] = [];
  for await (const each of storage.writtenBefore(time)) names.push(each);
  return names.toSorted();
};

describe("a picture's name", () => {
  test("has the account, the content and something random", () => {
    expect(name).toMatch(/^7-[0-9a-f]{32}-[0-9a-f]{8}\.jpg$/);
    const [, content, random] = pictureName(7, picture).split("-");
    expect([name.split("-")[1] === content, name.split("-")[2] === random]).toEqual([true, false]);
    expect(pictureName(7, Buffer.from("another")).split("-")[1]).not.toBe(content);
    expect(isPictureName(pictureName(Number.MAX_SAFE_INTEGER, picture))).toBe(true);
  });

  test("with the longest PUBLIC_URL, an image_url has at most 200 characters", () => {
    const longest = pathOf(pictureName(Number.MAX_SAFE_INTEGER, picture));
    expect(120 + "/media/".length + longest.length).toBeLessThanOrEqual(200);
  });

  test("is found in a path of ours and in no other", () => {
    expect(nameIn(pathOf(name))).toBe(name);
    for (const other of [null, "", name, `other/${name}`, `avatars/../${name}`, "avatars/photo.jpg"]) {
      expect(nameIn(other)).toBeUndefined();
    }
  });
});

describe("a local folder", () => {
  test("keeps what is written, under its name and no other", async () => {
    expect(await storage.read(name)).toBeUndefined();
    await storage.write(name, picture);
    expect(await storage.read(name)).toEqual(picture);
    expect(await readdir(folder)).toEqual([name]);
    await storage.remove(name);
    await storage.remove(name);
    expect(await storage.read(name)).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    "../../secrets.json",
    `../${name}`,
    `${name}/..`,
    `${name}\0`,
    `${name}.part`,
    "/etc/passwd",
    "",
    ".",
    `7-${"A".repeat(32)}-00000000.jpg`,
    `0-${"a".repeat(32)}-00000000.jpg`,
    `${name}\n`,
  ])("%j: no name of a picture, touches nothing", async (bad) => {
    const secrets = join(folder, "../../secrets.json");
    await storage.write(name, picture);
    await writeFile(secrets, "secret");
    const uses: (() => Promise<unknown>)[] = [
      () => storage.write(bad, picture),
      () => storage.read(bad),
      () => storage.remove(bad),
    ];
    for (const use of uses) {
      expect(await rejection(use())).toMatchObject({ message: "not the name of a picture" });
    }
    expect([await readFile(secrets, "utf8"), await readdir(folder)]).toEqual(["secret", [name]]);
  });

  test("a picture that could not be written leaves nothing behind", async () => {
    // Stands where the picture should go: the rename fails.
    await localFolder(join(folder, name)).write(pictureName(8, picture), picture);
    expect(await rejection(storage.write(name, picture))).toMatchObject({ syscall: "rename" });
    expect(await readdir(folder)).toEqual([name]);
  });

  test("an error that is not absence is told", async () => {
    await localFolder(join(folder, name)).write(pictureName(8, picture), picture);
    expect(await rejection(storage.read(name))).toMatchObject({ code: "EISDIR" });
  });

  test("names what was written before a time, and removes what a killed process has begun", async () => {
    expect(await writtenBefore(Date.now())).toEqual([]);
    await storage.write(name, picture);
    const old = pictureName(8, picture);
    await storage.write(old, picture);
    await writeFile(join(folder, `${name}.00000000.part`), "");
    await writeFile(join(folder, `${old}.00000000.part`), "");
    await writeFile(join(folder, "of somebody else"), "");
    for (const each of [old, `${old}.00000000.part`, "of somebody else"]) await utimes(join(folder, each), 1000, 1000);
    expect(await writtenBefore(Date.now() - 60_000)).toEqual([old]);
    expect((await readdir(folder)).toSorted()).toEqual(
      [name, `${name}.00000000.part`, old, "of somebody else"].toSorted(),
    );
  });
});
