import { createHash, randomBytes } from "node:crypto";
import { pictureNameForm } from "../users.contract.ts";

const folder = "avatars/";
const form = new RegExp(pictureNameForm);

/**
 * `<user id>-<hash of the content>-<random>.jpg`. By the hash a picture may be cached for ever; by the rest no two uploads
 * share a file, so that whoever removes an old one never hits that of somebody else, nor of the same account at that time.
 */
export function pictureName(userId: number, picture: Buffer): string {
  const hash = createHash("sha256").update(picture).digest("hex").slice(0, 32);
  return `${userId}-${hash}-${randomBytes(4).toString("hex")}.jpg`;
}

export const isPictureName = (name: string): boolean => form.test(name);
export const ownerOf = (name: string): number => Number(name.split("-")[0]);
export const hasSameContent = (one: string, other: string): boolean => one.split("-")[1] === other.split("-")[1];

/** A profile's `imagePath` for a picture. */
export const pathOf = (name: string): string => folder + name;
/** The other way round; `undefined` for no picture, or for one that is not kept here. */
export function nameIn(imagePath: string | null): string | undefined {
  const name = imagePath?.startsWith(folder) ? imagePath.slice(folder.length) : "";
  return isPictureName(name) ? name : undefined;
}
