/** Turns and mirrors decoded images. */

import type { RgbImage } from '../platform/platform.js';

/**
 * Turns and mirrors an image to the orientation in which it was taken, as Pillow's `ImageOps.exif_transpose` does.
 *
 * @param image pixels in the order of the file; returned as they are if there is nothing to turn.
 * @param orientation value of EXIF's tag 0x0112, 1 to 8. 5 to 8 exchange width and height. Other values count as 1.
 * @example
 * orient({ data: Uint8Array.of(1, 1, 1, 2, 2, 2), width: 2, height: 1 }, 2).data; // 2, 2, 2, 1, 1, 1
 */
export function orient(image: RgbImage, orientation: number): RgbImage {
  const { width, height } = image;
  const walk = walkOf(orientation, width, height);
  if (walk === null) return image;
  const [columns, rows] = orientation > 4 ? [height, width] : [width, height];
  const [first, toRight, toBelow] = walk;
  const data = new Uint8Array(image.data.length);
  let to = 0;
  for (let row = 0; row < rows; row++) {
    let from = 3 * (first + row * toBelow);
    for (let column = 0; column < columns; column++, from += 3 * toRight) {
      data[to++] = image.data[from] ?? 0;
      data[to++] = image.data[from + 1] ?? 0;
      data[to++] = image.data[from + 2] ?? 0;
    }
  }
  return { data, width: columns, height: rows };
}

/** Index of the pixel that becomes the first one, and how far its right and its lower neighbour are from it. */
type Walk = readonly [first: number, toRight: number, toBelow: number];

function walkOf(orientation: number, width: number, height: number): Walk | null {
  const [topRight, bottomLeft, last] = [width - 1, width * (height - 1), width * height - 1];
  if (orientation === 2) return [topRight, -1, width];
  if (orientation === 3) return [last, -1, -width];
  if (orientation === 4) return [bottomLeft, 1, -width];
  if (orientation === 5) return [0, width, 1];
  if (orientation === 6) return [bottomLeft, -width, 1];
  if (orientation === 7) return [last, -width, -1];
  if (orientation === 8) return [topRight, width, -1];
  return null;
}

/** Returns the orientation that undoes another one. */
export function inverseOrientation(orientation: number): number {
  return orientation === 6 ? 8 : orientation === 8 ? 6 : orientation;
}
