/** Finds images that have nothing to see on them once they are decoded. */

import type { RgbImage } from '../platform/platform.js';
import type { ImageFormat } from './signatures.js';
import { tiffKind } from './formats/tiff-kind.js';

/**
 * Highest level, of 255, of an image that counts as black. A camera's noise alone exceeds it. Files of floating-point
 * levels from 0 to 1, and of 10 bits stored in 16, stay below.
 */
const DARK = 3;
/** Bound for files of more than 8 bits per level, which may hold 12 bits in 16. */
const DARK_DEEP = 15;

/**
 * Says why there is nothing to see on a decoded image: every pixel has one colour, or all are almost black.
 *
 * @param bytes the encoded file.
 * @returns the reason and the kind of file; null for an image with something on it.
 */
export function blankReason(
  image: RgbImage,
  bytes: Uint8Array,
  format: ImageFormat,
): string | null {
  const isDeep = bitsPerLevel(bytes, format) > 8;
  const dark = isDeep ? DARK_DEEP : DARK;
  const isSingle = isSingleColour(image);
  if (!isSingle && image.data.some((level) => level > dark)) return null;
  const kind = kindOf(bytes, format);
  return isSingle ? `a single colour (${kind})` : `no level above ${dark} of 255 (${kind})`;
}

function isSingleColour({ data }: RgbImage): boolean {
  // Almost every image differs within the first few pixels, so this costs nothing.
  for (let at = 3; at < data.length; at++) if (data[at] !== data[at - 3]) return false;
  return true;
}

function bitsPerLevel(bytes: Uint8Array, format: ImageFormat): number {
  if (format === 'png') return bytes[24] ?? 8;
  return format === 'tiff' ? tiffKind(bytes).bits : 8;
}

function kindOf(bytes: Uint8Array, format: ImageFormat): string {
  if (format === 'tiff') return tiffKind(bytes).name;
  const bits = bitsPerLevel(bytes, format);
  return `${bits > 8 ? `${bits}-bit ` : ''}${format.toUpperCase()}`;
}

/** One blank image. */
export interface BlankImage {
  readonly path: string;
  /** As of {@link blankReason}. */
  readonly reason: string;
}

/** Returns one warning about the blank images among `total`; an empty list if there are none. */
export function blankWarnings(images: readonly BlankImage[], total: number): string[] {
  const [first] = images;
  if (!first) return [];
  const have = images.length === 1 ? 'has' : 'have';
  return [
    `${images.length} of ${total} images ${have} nothing to see on them after decoding, ` +
      `e.g. ${first.path}: ${first.reason}; if that is not meant, convert them to 8 bits per level`,
  ];
}
