import { describe, expect, test } from "@jest/globals";
import sharp from "sharp";
import { renderPicture } from "../../../../../services/users/pictures/render.ts";
import { jpegSegment, png, smallPng, withSegments, zeros } from "../../../../support/pictures.ts";

// What files of every kind become is told by test/security/pictures.test.ts, through all of the service.
describe("renderPicture", () => {
  test("a picture: a square JPEG", async () => {
    const rendered = await renderPicture(smallPng());
    expect(await sharp(rendered as Buffer).metadata()).toMatchObject({ format: "jpeg", width: 512, height: 512 });
  });

  test("the same picture: the same bytes, by which it is known again", async () => {
    const file = smallPng();
    expect(await renderPicture(file)).toEqual(await renderPicture(file));
  });

  test.each([
    ["empty", Buffer.alloc(0)],
    ["notAPicture", Buffer.from("GIF89a")],
    ["notAPicture", smallPng().subarray(0, 50)],
    ["tooManyPixels", png({ width: 5001, height: 5000, depth: 1, colourType: 0 }, zeros(626 * 5000))],
  ])("%s", async (refusal, file) => {
    expect(await renderPicture(file)).toBe(refusal);
  });

  test("exactly 25 million pixels are not too many", async () => {
    const file = png({ width: 5000, height: 5000, depth: 1, colourType: 0 }, zeros(626 * 5000));
    expect(Buffer.isBuffer(await renderPicture(file))).toBe(true);
  });

  test("128 starts of scan are allowed, wherever they stand, and one more is not", async () => {
    const jpeg = await sharp({ create: { width: 9, height: 9, channels: 3, background: "#000" } })
      .jpeg()
      .toBuffer();
    const withScans = (count: number) =>
      withSegments(jpeg, jpegSegment(0xfe, Buffer.alloc(2 * (count - 1), Buffer.from([0xff, 0xda]))));
    expect(Buffer.isBuffer(await renderPicture(withScans(128)))).toBe(true);
    expect(await renderPicture(withScans(129))).toBe("notAPicture");
  });
});
