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
 * Share of levels at 255 from which an image of floating-point or 32-bit levels counts as white: above 255, these are
 * cut. Levels spread evenly from 0 to 4095 reach 94 %.
 */
const WHITE_CUT = 0.9;
/** Share for other files of more than 8 bits per level. Thin drawings on white stay below. */
const WHITE_DEEP = 0.995;

/** Bytes within which the chunks before an image's data lie, a palette's transparency among them. */
const HEAD = 4096;

/** Facts about an encoded file that tell why nothing may be left of it. */
interface FileKind {
  /** In words, such as `32-bit float TIFF`. */
  readonly name: string;
  readonly isDeep: boolean;
  /** Share of levels at 255 from which it counts as white; more than 1 if it never does. */
  readonly white: number;
}

/**
 * Says why there is nothing to see on a decoded image: every pixel has one colour, or all are almost black, or, in a
 * file of more than 8 bits per level, almost all are white.
 *
 * @param bytes the encoded file.
 * @returns the reason with the kind of file, and advice after a semicolon; null for an image with something on it.
 */
export function blankReason(
  image: RgbImage,
  bytes: Uint8Array,
  format: ImageFormat,
): string | null {
  const kind = kindOf(bytes, format);
  const what = blankness(image, kind);
  if (what === null) return null;
  const help = advice(kind.isDeep, hasAlpha(bytes, format));
  return `${what} (${kind.name}); if that is not meant, ${help}`;
}

function blankness(image: RgbImage, { isDeep, white }: FileKind): string | null {
  if (isSingleColour(image)) return 'a single colour';
  const dark = isDeep ? DARK_DEEP : DARK;
  if (!image.data.some((level) => level > dark)) return `no level above ${dark} of 255`;
  const share = white > 1 ? 0 : shareOfWhite(image);
  return share < white ? null : `${Math.floor(share * 1000) / 10} % of the levels at 255`;
}

function advice(isDeep: boolean, isTransparent: boolean): string {
  const depth = isDeep
    ? 'convert them to 8 bits per level'
    : 'look at them, and replace or remove them';
  if (!isTransparent) return depth;
  const background = 'put them on a background: transparency is dropped, as in torchvision';
  return isDeep ? `${depth}, and ${background}` : background;
}

function shareOfWhite({ data }: RgbImage): number {
  let white = 0;
  for (const level of data) if (level === 255) white++;
  return white / data.length;
}

function isSingleColour({ data }: RgbImage): boolean {
  // Almost every image differs within the first few pixels, so this costs nothing.
  for (let at = 3; at < data.length; at++) if (data[at] !== data[at - 3]) return false;
  return true;
}

function kindOf(bytes: Uint8Array, format: ImageFormat): FileKind {
  if (format === 'tiff') {
    const { name, bits, isCut } = tiffKind(bytes);
    const isDeep = bits > 8;
    return { name, isDeep, white: isCut ? WHITE_CUT : isDeep ? WHITE_DEEP : Infinity };
  }
  const bits = format === 'png' ? (bytes[24] ?? 8) : 8;
  const isDeep = bits > 8;
  const name = `${isDeep ? `${bits}-bit ` : ''}${format.toUpperCase()}`;
  return { name, isDeep, white: isDeep ? WHITE_DEEP : Infinity };
}

/** Whether a file says that it has transparency. */
function hasAlpha(bytes: Uint8Array, format: ImageFormat): boolean {
  if (format === 'tiff') return tiffKind(bytes).hasAlpha;
  const head = String.fromCharCode(...bytes.subarray(0, HEAD));
  if (format === 'png') return ((bytes[25] ?? 0) & 4) !== 0 || head.includes('tRNS');
  if (format !== 'webp') return false;
  const flags = bytes[20] ?? 0;
  if (head.startsWith('VP8X', 12)) return (flags & 0x10) !== 0;
  return head.startsWith('VP8L', 12) && ((bytes[24] ?? 0) & 0x10) !== 0;
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
      `e.g. ${first.path}: ${first.reason}`,
  ];
}
