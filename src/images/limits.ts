/** Bounds that keep the memory of a worker thread under 512 MB, whatever image it is given. */

/** Above this many pixels Pillow, too, refuses an image as a decompression bomb. */
export const MAX_PIXELS = 2 * Math.floor(2 ** 30 / 4 / 3);

/** @throws Error if an image of this size is empty or has more than {@link MAX_PIXELS}. */
export function checkSize(width: number, height: number): void {
  if (width < 1 || height < 1) throw new Error(`an image of ${width} x ${height} pixels`);
  if (width * height > MAX_PIXELS) throw new Error(`more than ${MAX_PIXELS} pixels`);
}
