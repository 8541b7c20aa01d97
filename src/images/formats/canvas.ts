/** Helpers of the readers in this folder. Their errors are the end of "expected a readable image, found …". */

import type { RgbImage } from '../../platform/platform.js';
import { checkSize, maxPixels } from '../limits.js';

/** Red, green and blue of 256 colours: `palette[index * 3 + channel]`. */
export type Palette = Uint8Array;

/** Reports a file that ends before its last pixel. */
export function truncated(kind: string): Error {
  return new Error(`${kind} that is cut off`);
}

/** Returns 256 shades of gray: the colours of a file without a palette. */
export function grayPalette(): Palette {
  return Uint8Array.from({ length: 256 * 3 }, (_, at) => Math.floor(at / 3));
}

/** Whether a palette says no more than that index i is gray level i. */
export function isGray(colours: Uint8Array): boolean {
  return colours.every((level, at) => level === Math.floor(at / 3));
}

/** Fills a palette up with black, as Pillow does for indices beyond its end. */
export function toPalette(colours: Uint8Array): Palette {
  const palette = new Uint8Array(256 * 3);
  palette.set(colours.subarray(0, palette.length));
  return palette;
}

/** Bytes per pixel while a file is read: a palette index, and red, green and blue. */
const BYTES_PER_PIXEL = 4;

/** @throws Error if an image of this size, read from a file of `bytes`, is empty or too large for the memory. */
export function checkImageSize(bytes: Uint8Array, width: number, height: number): void {
  checkSize(width, height, maxPixels(bytes.length, BYTES_PER_PIXEL));
}

/** Returns a black image. */
export function blankImage(width: number, height: number): RgbImage {
  return { data: new Uint8Array(width * height * 3), width, height };
}

/** Converts palette indices [height, width] to RGB. */
export function paint(
  indices: Uint8Array,
  palette: Palette,
  { width, height }: Readonly<Record<'width' | 'height', number>>,
): RgbImage {
  const image = blankImage(width, height);
  for (let i = 0; i < width * height; i++) {
    const from = (indices[i] ?? 0) * 3;
    image.data[i * 3] = palette[from] ?? 0;
    image.data[i * 3 + 1] = palette[from + 1] ?? 0;
    image.data[i * 3 + 2] = palette[from + 2] ?? 0;
  }
  return image;
}
