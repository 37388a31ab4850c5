import { randomBytes } from "node:crypto";
import { constants, crc32, deflateRawSync, deflateSync } from "node:zlib";

/** A form with a picture, as a browser sends it. */
export function pictureForm(
  picture: Buffer = smallPng(),
  { field = "image", name = "me.jpg", type = "image/jpeg" } = {},
): FormData {
  const form = new FormData();
  form.append(field, new Blob([new Uint8Array(picture)], { type }), name);
  return form;
}

/** A picture that is accepted: 8 x 8 of one colour; of a random one, so that two of them differ. */
export function smallPng(colour: Uint8Array = randomBytes(3)): Buffer {
  const row = Buffer.concat([Buffer.of(0), ...Array.from({ length: 8 }, () => colour)]);
  const pixels = Buffer.concat(Array.from({ length: 8 }, () => row));
  return png({ width: 8, height: 8, depth: 8, colourType: 2 }, deflateSync(pixels));
}

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth: 1 | 8 | 16;
  /** 0 grey, 2 RGB, 6 RGBA */
  readonly colourType: 0 | 2 | 6;
  readonly interlaced?: boolean;
}

/** @param data zlib stream of the pixels; @param extra chunks between header and data */
export function png(header: PngHeader, data: Buffer, extra: readonly Buffer[] = []): Buffer {
  const { width, height, depth, colourType, interlaced = false } = header;
  const ihdr = Buffer.from([...u32(width), ...u32(height), depth, colourType, 0, 0, interlaced ? 1 : 0]);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const chunks = [pngChunk("IHDR", ihdr), ...extra, pngChunk("IDAT", data), pngChunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, ...chunks]);
}

export function pngChunk(type: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(type, "latin1"), data]);
  return Buffer.from([...u32(data.length), ...content, ...u32(crc32(content))]);
}

/** At least this many zeros as a valid zlib stream of a thousandth of the size, made without having them. */
export function zeros(atLeast: number): Buffer {
  const blockSize = 1024 * 1024;
  const blocks = Math.ceil(atLeast / blockSize);
  // Flushed, it stands for itself and may be repeated.
  const block = deflateRawSync(Buffer.alloc(blockSize), { level: 9, finishFlush: constants.Z_FULL_FLUSH });
  // Adler-32 of n zeros: the low half stays 1, the high half counts.
  const checksum = u32((((blocks * blockSize) % 65521) * 65536 + 1) % 2 ** 32);
  const end = Buffer.from([0x03, 0x00, ...checksum]);
  return Buffer.concat([Buffer.of(0x78, 0xda), ...Array.from({ length: blocks }, () => block), end]);
}

export const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
export const u16 = (value: number): number[] => [(value >>> 8) & 255, value & 255];

/** A segment of a JPEG: marker, length, content. */
export const jpegSegment = (marker: number, content: Buffer | readonly number[]): Buffer =>
  Buffer.from([0xff, marker, ...u16(content.length + 2), ...content]);

/** A JPEG with something put behind its first two bytes. */
export const withSegments = (jpeg: Buffer, ...segments: readonly Buffer[]): Buffer =>
  Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)]);

/** Markers of a JPEG's segments in order, and how many bytes come after its end. */
export function jpegStructure(jpeg: Buffer): { markers: number[]; trailing: number } {
  const markers: number[] = [];
  for (let at = 2; at < jpeg.length;) {
    const marker = jpeg[at] === 0xff ? (jpeg[at + 1] ?? 0) : 0;
    markers.push(marker);
    if (marker === 0xd9) return { markers, trailing: jpeg.length - at - 2 };
    at += 2 + jpeg.readUInt16BE(at + 2);
    if (marker !== 0xda) continue;
    while (!(jpeg[at] === 0xff && !/^(?:0|d[0-7])$/.test((jpeg[at + 1] ?? 0).toString(16)))) at++;
  }
  return { markers, trailing: -1 };
}
