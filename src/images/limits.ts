/**
 * Bounds that keep the memory of a worker thread's images under 512 MiB, whatever it is given: one image is decoded
 * (352), while another one, which must then be small, is preprocessed (106), and earlier ones wait for the garbage
 * collector (54).
 */

const MIB = 2 ** 20;

/** Memory for one image, its file included, while it is decoded. */
const DECODE_BYTES = 352 * MIB;

/** Decoded images of this size in all are collected as garbage before the next one is decoded. */
export const GARBAGE_BYTES = 54 * MIB;

/** Memory for one image, itself included, in a preprocessing graph. */
export const GRAPH_BYTES = 256 * MIB;

/** Pixels of an image that may be copied for the cache. */
export const KEPT_BYTES = DECODE_BYTES / 2;

/** Images up to this size are preprocessed while the next one is decoded. */
const SMALL_BYTES = 106 * MIB;
/** Bytes per pixel of an image in the training graph: the image, its crop, and a copy that the resize makes. */
const GRAPH_BYTES_PER_PIXEL = 9;

/** Above this many pixels Pillow refuses an image as a decompression bomb. */
const MAX_PIXELS = 2 * Math.floor(2 ** 30 / 4 / 3);

/**
 * Returns the number of pixels that there is memory to decode. It is always below Pillow's own bound.
 *
 * @param fileBytes size of the encoded file.
 * @param bytesPerPixel memory that the decoder takes, the decoded image included.
 */
export function maxPixels(fileBytes: number, bytesPerPixel: number): number {
  return Math.max(Math.floor((DECODE_BYTES - fileBytes) / bytesPerPixel), 1);
}

/** @throws Error if an image of this size is empty or has more pixels than `limit`. */
export function checkSize(width: number, height: number, limit = MAX_PIXELS): void {
  if (width < 1 || height < 1) throw new Error(`an image of ${width} x ${height} pixels`);
  if (width * height > limit) throw tooManyPixels(limit);
}

/** Returns the error for an image that has more pixels than {@link maxPixels} allows. */
export function tooManyPixels(limit: number): Error {
  return new Error(`more than ${limit} pixels, the most that fit into the memory for an image`);
}

/** Whether an image leaves room for the next one to be decoded meanwhile. */
export function isSmall({ width, height }: Readonly<Record<'width' | 'height', number>>): boolean {
  return width * height * GRAPH_BYTES_PER_PIXEL <= SMALL_BYTES;
}

/** @throws Error if a file is too large to be read. */
export function checkFileSize(bytes: number): void {
  if (bytes <= DECODE_BYTES) return;
  throw new Error(
    `a file of ${toMib(bytes)}, more than the memory for an image, ${toMib(DECODE_BYTES)}`,
  );
}

function toMib(bytes: number): string {
  return `${Math.ceil(bytes / MIB)} MiB`;
}
