import sharp, { type Sharp } from "sharp";
import { maxPixels, type Refusal } from "./refusals.ts";

const sidePixels = 512;
const quality = 82;
/**
 * A progressive JPEG has about ten scans. Each costs a pass over all pixels and may be 33 bytes long: 3,000 of them, in
 * 175 KB, took 19 s, and libvips' own time limit does not look there.
 */
const maxScans = 128;

sharp.cache(false);
sharp.concurrency(1);
// Of some thirty loaders these three. UltraHDR is among the blocked: its pictures are then read as the JPEGs they also are.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({ operation: ["VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer", "VipsForeignLoadWebpBuffer"] });

/**
 * The one door to sharp: any JPEG, PNG or WebP, known by its content, as an upright square JPEG. Only pixels come through:
 * no EXIF, ICC or XMP, no second picture, nothing that was hidden before, behind or between. Runs in a process of its own
 * (renderer.ts).
 */
export async function renderPicture(bytes: Buffer): Promise<Buffer | Refusal> {
  if (bytes.length === 0) return "empty";
  if (countScans(bytes) > maxScans) return "notAPicture";
  try {
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return width * height > maxPixels ? "tooManyPixels" : await upright(bytes).toBuffer();
  } catch {
    return "notAPicture";
  }
}

function upright(bytes: Buffer): Sharp {
  // What cannot be painted is an error; what is merely odd in a file is a warning, and telephones make odd files.
  return sharp(bytes, { limitInputPixels: maxPixels, failOn: "error" })
    .autoOrient()
    .resize(sidePixels, sidePixels, { fit: "cover" })
    .flatten({ background: "white" })
    .toColourspace("srgb")
    .jpeg({ quality });
}

const startOfScan = Buffer.from([0xff, 0xda]);

/** Every scan of a JPEG begins with this marker; found elsewhere it only makes the count too high. Nothing is parsed. */
function countScans(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(startOfScan); at >= 0; at = bytes.indexOf(startOfScan, at + 2)) count++;
  return count;
}
