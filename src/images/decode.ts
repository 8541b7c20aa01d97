/**
 * The rules that every image decoder follows: which files are images, and which RGB pixels they give.
 *
 * The pixels are those that torchvision's ImageFolder sees, which is Pillow's `Image.open(file).convert('RGB')`.
 * So colour profiles are ignored, alpha is dropped and not blended, gray and palettes become RGB, CMYK takes Pillow's
 * plain formula, and an animation gives its first frame. The orientation in EXIF is ignored unless the setting `exif`
 * says otherwise, except in TIFF files, which Pillow turns whenever it reads them. The pixels are exactly Pillow's,
 * with these exceptions:
 *
 * - 16-bit gray: the high byte, as for 16-bit colour. Pillow cuts every level above 255 to 255, which
 *   makes most such images white.
 * - AVIF: up to a dozen levels apart at colour edges, because the decoders interpolate colour differently.
 * - BMP, PPM and PGM: refused with an error, because libvips as packaged for npm cannot read them.
 */

import { DatasetError } from '../common/errors.js';
import type { RgbImage } from '../platform/platform.js';

/** Above this many pixels Pillow, too, refuses an image as a decompression bomb. */
export const MAX_PIXELS = 2 * Math.floor(2 ** 30 / 4 / 3);

/** Image formats that are decoded. */
export type ImageFormat = 'jpeg' | 'png' | 'gif' | 'tiff' | 'webp' | 'avif';

const SIGNATURES: readonly (readonly [ImageFormat, string, number])[] = [
  ['jpeg', '\xff\xd8\xff', 0],
  ['png', '\x89PNG\r\n\x1a\n', 0],
  ['gif', 'GIF8', 0],
  ['tiff', 'II*\0', 0],
  ['tiff', 'MM\0*', 0],
  ['webp', 'WEBP', 8],
  ['avif', 'ftypavif', 4],
  ['avif', 'ftypavis', 4],
];

/**
 * Reads the format from the first bytes, as Pillow does. The decoder must not choose: sharp would also take SVG,
 * which is drawn and not decoded, and must not stand in for a photograph.
 *
 * @throws Error for every other file, saying what it is.
 */
export function imageFormat(bytes: Uint8Array): ImageFormat {
  const head = String.fromCharCode(...bytes.subarray(0, 16));
  const match = SIGNATURES.find(([, text, offset]) => head.startsWith(text, offset));
  if (match) return match[0];
  if (bytes.byteLength === 0) throw new Error('an empty file');
  if (head.startsWith('BM')) throw new Error('a BMP file, which is not supported');
  if (/^P[1-6]\s/.test(head)) throw new Error('a PPM or PGM file, which is not supported');
  throw new Error('a file that is not JPEG, PNG, WebP, TIFF, GIF or AVIF');
}

/** Returns the number of components in a JPEG's frame header, or null if there is no such header. */
export function jpegComponents(bytes: Uint8Array): number | null {
  let at = 2;
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      // A fill byte.
      at++;
      continue;
    }
    // SOF0 to SOF15; the three others between them are tables.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9] ?? null;
    at += 2 + (((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
  }
  return null;
}

/**
 * Converts CMYK to RGB by Pillow's cmyk2rgb: (255 - C)(255 - K) / 255.
 *
 * @param data rows of interleaved pixels whose first four of `channels` values are C, M, Y and K.
 */
export function cmykToRgb(
  data: Uint8Array,
  { width, height, channels }: Readonly<Record<'width' | 'height' | 'channels', number>>,
): RgbImage {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = pixel * channels;
    const light = 255 - (data[from + 3] ?? 0);
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = light - multiply255(data[from + channel] ?? 0, light);
    }
  }
  return { data: rgb, width, height };
}

/** Returns a·b / 255, rounded, for bytes. */
function multiply255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Says in a few words why reading or decoding failed. */
export function decodeProblem(cause: unknown): string {
  const { code, message } = cause as Error & { readonly code?: string };
  if (code === 'ENOENT') return 'no file';
  if (code === 'EISDIR') return 'a folder';
  if (code === 'EACCES') return 'a file that may not be read';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  if (message.includes('exceeds pixel limit')) return `more than ${MAX_PIXELS} pixels`;
  // libvips may repeat itself on several lines.
  return message.split('\n', 1)[0] ?? message;
}

/** Returns the error for an image that cannot be decoded. */
export function unreadableImage(name: string, cause: unknown): DatasetError {
  return new DatasetError(
    `expected a readable image, found ${decodeProblem(cause)}: ${name}; repair, convert or remove it`,
    { cause },
  );
}
