/**
 * What a telephone makes by default has up to 24.5 million. The worst of this size, a 16-bit interlaced PNG of 196 KB, took
 * 230 MB for 1.2 s; everything else less than 150 MB.
 */
export const maxPixels = 25_000_000;

/** Why a file becomes no picture, in the sentences of the original's framework. */
export const refusals = {
  empty: "The submitted file is empty.",
  notAPicture:
    "Upload a valid image. The file you uploaded was either not an image or a corrupted image. JPEG, PNG and WebP are accepted.",
  tooManyPixels: `Ensure this image has no more than ${maxPixels / 1_000_000} million pixels.`,
} as const;
export type Refusal = keyof typeof refusals;
