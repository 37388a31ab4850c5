import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { jpegSegment, png, pngChunk, smallPng, u16, u32, withSegments, zeros } from "../support/pictures.ts";

export interface Hostile {
  readonly bytes: Buffer;
  readonly name?: string;
  readonly type?: string;
  /** What comes of it: a picture without any harm in it, or a refusal for this reason. */
  readonly outcome: "harmless" | keyof typeof refusals;
}

export const refusals = {
  notAPicture: [400, /^\{"image":\["Upload a valid image\. /],
  tooManyPixels: [400, /^\{"image":\["Ensure this image has no more than 25 million pixels\."\]\}$/],
  empty: [400, /^\{"image":\["The submitted file is empty\."\]\}$/],
  tooLarge: [413, /"code":"body_too_large"/],
} as const;

/** What would be found in the answer if it came through. */
export const payload = "PAYLOAD-a1b2c3";
const html = `<script>alert("${payload}")</script>`;
const maxBytes = 5 * 1024 * 1024;

const pixels = { width: 64, height: 48, channels: 3 } as const;
const canvas = () => sharp({ create: { ...pixels, background: "#3a7" } });
const text = (content: string): Buffer => Buffer.from(content, "latin1");
const smallHeader = { width: 64, height: 64, depth: 8, colourType: 2 } as const;
const smallData = deflateSync(Buffer.alloc(64 * (64 * 3 + 1)));
const refused = (bytes: Buffer, more: Partial<Hostile> = {}): Hostile => ({ bytes, outcome: "notAPicture", ...more });
const harmless = (bytes: Buffer, more: Partial<Hostile> = {}): Hostile => ({ bytes, outcome: "harmless", ...more });
const tooManyPixels = (bytes: Buffer): Hostile => ({ bytes, outcome: "tooManyPixels" });

export async function hostilePictures(): Promise<Readonly<Record<string, Hostile>>> {
  const jpeg = await canvas().jpeg().toBuffer();
  return {
    "no bytes at all": { bytes: Buffer.alloc(0), outcome: "empty" },
    "a byte more than 5 MB": {
      bytes: Buffer.concat([jpeg, Buffer.alloc(maxBytes + 1 - jpeg.length)]),
      outcome: "tooLarge",
    },
    "one pixel": harmless(
      await sharp({ create: { ...pixels, width: 1, height: 1, background: "#fff" } })
        .png()
        .toBuffer(),
    ),
    ...otherFormats(),
    ...(await rasterFormats()),
    ...broken(jpeg, smallPng()),
    ...(await tooLargeInside()),
    ...bombs(),
    ...(await stowaways(jpeg)),
    ...(await animations()),
  };
}

const otherFormats = (): Record<string, Hostile> => ({
  "text with the name and type of a JPEG": refused(text("Hello.\n".repeat(100))),
  HTML: refused(text(`<!doctype html>${html}`)),
  "SVG with a script": refused(text(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">${html}</svg>`)),
  "SVG that reads a file": refused(
    text(
      '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg" ' +
        'xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><image xlink:href="file:///etc/passwd"/>&x;</svg>',
    ),
  ),
  PDF: refused(text("%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF")),
  "a program": refused(text(`\x7fELF\x02\x01\x01${"\0".repeat(200)}`)),
  "HEIC (its first box)": refused(Buffer.concat([Buffer.from(u32(24)), text("ftypheic\0\0\0\0mif1heic")])),
  BMP: refused(
    Buffer.concat([
      text("BM"),
      Buffer.from([70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 24, 0]),
      Buffer.alloc(40),
    ]),
  ),
  "ICO with a PNG inside": refused(
    Buffer.concat([Buffer.from([0, 0, 1, 0, 1, 0, 8, 8, 0, 0, 1, 0, 24, 0, 100, 0, 0, 0, 22, 0, 0, 0]), smallPng()]),
  ),
  "portable pixmap": refused(text(`P6 2 2 255\n${"x".repeat(12)}`)),
});

const rasterFormats = async (): Promise<Record<string, Hostile>> => ({
  GIF: refused(await canvas().gif().toBuffer()),
  TIFF: refused(await canvas().tiff().toBuffer()),
  AVIF: refused(await canvas().avif().toBuffer()),
  "a PNG that is called a program and a page": harmless(await canvas().png().toBuffer(), {
    name: "../../../setup.exe",
    type: "text/html",
  }),
  "a WebP without a name of its own": harmless(await canvas().webp().toBuffer(), { name: "..", type: "x/y" }),
});

const broken = (jpeg: Buffer, small: Buffer): Record<string, Hostile> => ({
  "a JPEG cut in the middle": refused(jpeg.subarray(0, jpeg.length >> 1)),
  "a PNG cut in the middle": refused(small.subarray(0, small.length - 20)),
  "only the first bytes of a JPEG": refused(Buffer.from([0xff, 0xd8, 0xff])),
  "5 MB of fill bytes behind the first of a JPEG": refused(
    Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(maxBytes - 2, 0xff)]),
  ),
  "a PNG whose pixels are not what it says": refused(png({ ...smallHeader, height: 4000 }, smallData)),
});

/** A flat WebP of 36 bytes, with another size written into it. */
async function hugeWebp(side: number): Promise<Buffer> {
  const webp = await canvas().webp({ lossless: true }).toBuffer();
  // VP8L: signature 0x2f, then 14 bits of width - 1 and 14 bits of height - 1.
  const at = webp.indexOf(0x2f, 20) + 1;
  webp.writeUInt32LE(((side - 1) | ((side - 1) << 14)) >>> 0, at);
  return webp;
}

const tooLargeInside = async (): Promise<Record<string, Hostile>> => ({
  "a PNG that says 50,000 x 50,000": tooManyPixels(png({ ...smallHeader, width: 50_000, height: 50_000 }, smallData)),
  "a PNG that is 50,000 x 50,000": tooManyPixels(
    png({ width: 50_000, height: 50_000, depth: 1, colourType: 0 }, zeros(6251 * 50_000)),
  ),
  "a JPEG that says 65,500 x 65,500": tooManyPixels(scans(1, { side: 65_500, drawn: 8 })),
  "a WebP that says 16,000 x 16,000": tooManyPixels(await hugeWebp(16_000)),
  "the largest PNG there may be, in the costliest form": harmless(
    png({ width: 5000, height: 5000, depth: 16, colourType: 6, interlaced: true }, zeros(5000 * 5000 * 8 + 20_000)),
  ),
});

const named = (keyword: string, compressed: Buffer): Buffer => Buffer.concat([text(`${keyword}\0\0`), compressed]);

const bombs = (): Record<string, Hostile> => ({
  "a text of 4.5 GB in a PNG (zTXt)": harmless(
    png(smallHeader, smallData, [pngChunk("zTXt", named("Comment", zeros(4.5e9)))]),
  ),
  "a colour profile of 1 GB in a PNG (iCCP)": harmless(
    png(smallHeader, smallData, [pngChunk("iCCP", named("icc", zeros(1e9)))]),
  ),
  "a hundred texts of 8 MB in a PNG": harmless(
    png(smallHeader, smallData, Array<Buffer>(100).fill(pngChunk("zTXt", named("Comment", zeros(7.9e6))))),
  ),
  "a JPEG of 3,000 scans": refused(scans(3000, { side: 5000 })),
  "a JPEG of as many scans as there may be": harmless(scans(127, { side: 2000 })),
});

/** A progressive JPEG, grey, of one DC scan and many AC scans, each 33 bytes and a pass over all pixels. */
function scans(count: number, { side, drawn = side }: { side: number; drawn?: number }): Buffer {
  const blocks = Math.ceil(drawn / 8) ** 2;
  const huffman = (tableClass: number, symbol: number) =>
    jpegSegment(0xc4, [tableClass << 4, 1, ...Array<number>(15).fill(0), symbol]);
  const runs: string[] = [];
  // "End of band" for 16,384 blocks and more, as many more as the next 14 bits say.
  for (let left = blocks; left > 0; left -= 32_767) {
    const extra = Math.max(Math.min(left, 32_767) - 16_384, 0);
    runs.push(`0${extra.toString(2).padStart(14, "0")}`);
  }
  const bits = runs.join("");
  const bytes = (bits.padEnd(Math.ceil(bits.length / 8) * 8, "1").match(/.{8}/g) ?? []).map((byte) =>
    parseInt(byte, 2),
  );
  const stuffed = bytes.flatMap((byte) => (byte === 0xff ? [0xff, 0] : [byte]));
  const scan = Buffer.concat([jpegSegment(0xda, [1, 1, 0, 1, 63, 0]), Buffer.from(stuffed)]);
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    jpegSegment(0xdb, [0, ...Array<number>(64).fill(1)]),
    jpegSegment(0xc2, [8, ...u16(side), ...u16(side), 1, 1, 0x11, 0]),
    huffman(0, 0),
    huffman(1, 0xe0),
    jpegSegment(0xda, [1, 1, 0, 0, 0, 0]),
    Buffer.alloc(Math.ceil(blocks / 8)),
    ...Array<Buffer>(count).fill(scan),
    Buffer.from([0xff, 0xd9]),
  ]);
}

/** Real pictures that carry something else along. */
async function stowaways(jpeg: Buffer): Promise<Record<string, Hostile>> {
  const comment = (content: string) => jpegSegment(0xfe, text(content));
  const zip = Buffer.concat([text("PK\x03\x04"), text(payload), text(`PK\x05\x06${"\0".repeat(18)}`)]);
  const gps = {
    IFD0: { Copyright: payload, ImageDescription: payload },
    IFD3: { GPSLatitudeRef: "N", GPSLatitude: "52/1 13/1 0/1", GPSLongitudeRef: "E", GPSLongitude: "21/1 0/1 0/1" },
  };
  return {
    "a JPEG that is a page as well": harmless(
      Buffer.concat([withSegments(jpeg, comment(`--><html>${html}`)), text(html)]),
      { name: "me.html" },
    ),
    "a JPEG that is a ZIP as well": harmless(Buffer.concat([jpeg, zip]), { name: "me.zip" }),
    "a JPEG that is a script as well": harmless(withSegments(jpeg, comment(`*/=1;alert("${payload}")/*`))),
    "a PNG that is PHP as well": harmless(
      Buffer.concat([
        png(smallHeader, smallData, [pngChunk("tEXt", text(`Comment\0<?php system("${payload}"); ?>`))]),
        text(`<?php ${payload} ?>`),
      ]),
    ),
    "a JPEG that says where it was taken": harmless(await canvas().withExif(gps).jpeg().toBuffer()),
    "a PNG that says where it was taken": harmless(await canvas().withExif(gps).png().toBuffer()),
    "a WebP that says where it was taken": harmless(await canvas().withExif(gps).webp().toBuffer()),
    "a JPEG with XMP and IPTC": harmless(
      withSegments(
        jpeg,
        jpegSegment(
          0xe1,
          text(`http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">${payload}</x:xmpmeta>`),
        ),
        jpegSegment(0xed, text(`Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x13\x1c\x02\x78\0\x0e${payload}\0`)),
      ),
    ),
    "a JPEG with a broken colour profile": harmless(
      withSegments(jpeg, jpegSegment(0xe2, text(`ICC_PROFILE\0\x01\x01${payload}${"\xff".repeat(300)}`))),
    ),
    "a JPEG with a second one behind it": harmless(Buffer.concat([jpeg, jpeg, text(payload)])),
    "a JPEG in the colours of a printer": harmless(await canvas().toColourspace("cmyk").jpeg().toBuffer()),
  };
}

async function animations(): Promise<Record<string, Hostile>> {
  const frames = Buffer.alloc(64 * 64 * 3 * 50, 0x55);
  const raw = { width: 64, height: 64 * 50, channels: 3, pageHeight: 64 } as const;
  const control = (sequence: number) =>
    pngChunk("fcTL", Buffer.from([...u32(sequence), ...u32(64), ...u32(64), ...Array<number>(14).fill(0)]));
  return {
    "a WebP of fifty frames": harmless(await sharp(frames, { raw }).webp({ delay: 10 }).toBuffer()),
    "an animated PNG of four thousand million frames": harmless(
      png(smallHeader, smallData, [pngChunk("acTL", Buffer.from([...u32(2 ** 32 - 1), ...u32(0)])), control(0)]),
    ),
  };
}
