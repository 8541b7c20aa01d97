/**
 * Decoding: an image file to the RGB pixels that torchvision's ImageFolder sees, which is Pillow's
 * `Image.open(file).convert('RGB')`.
 *
 * So the orientation in EXIF and colour profiles are ignored, alpha is dropped and not blended, gray
 * and palettes become RGB, CMYK takes Pillow's plain formula, and of an animation only the first
 * frame counts. The pixels are Pillow's exactly, with these exceptions:
 *
 * - 16-bit gray: the high byte, as for 16-bit colour. Pillow cuts every level above 255 to 255, which
 *   makes most such pictures white.
 * - AVIF: up to a dozen levels apart at colour edges; the decoders interpolate colour differently.
 * - BMP, PPM and PGM: refused with an error; libvips as packaged for npm cannot read them.
 */

import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { DatasetError } from '../common/errors.js';

/** Pixels as rows of interleaved R, G, B: `data[(y * width + x) * 3 + channel]`. */
export interface RgbImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Above this many pixels Pillow, too, refuses an image, as a decompression bomb. */
export const MAX_PIXELS = 2 * Math.floor(2 ** 30 / 4 / 3);

const OPTIONS = {
  limitInputPixels: MAX_PIXELS,
  ignoreIcc: true,
  // A cut-off or damaged file is an error; what libjpeg only warns about is not, nor is it in Pillow.
  failOn: 'error',
} as const;

/**
 * @param image path of an image file, or its encoded bytes
 * @param name what to call the image in an error; default: its path
 * @throws DatasetError if it cannot be read or decoded
 */
export async function decodeImage(
  image: string | Uint8Array,
  name = typeof image === 'string' ? image : `an image of ${image.byteLength} bytes`,
): Promise<RgbImage> {
  try {
    const bytes = typeof image === 'string' ? await readFile(image) : image;
    return (await isCmyk(bytes, imageFormat(bytes)))
      ? await decodeCmyk(bytes)
      : await decode(bytes);
  } catch (cause) {
    throw new DatasetError(
      `expected a readable image, found ${decodeProblem(cause)}: ${name}; repair, convert or remove it`,
      { cause },
    );
  }
}

async function decode(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await sharp(bytes, OPTIONS)
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`${info.channels} colour channels`);
  return { data, width: info.width, height: info.height };
}

/** Pillow's cmyk2rgb: (255 - C)(255 - K) / 255. sharp's own conversion goes through a printer profile. */
async function decodeCmyk(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await sharp(bytes, OPTIONS)
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let pixel = 0; pixel < info.width * info.height; pixel++) {
    const from = pixel * info.channels;
    const light = 255 - (data[from + 3] ?? 0);
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = light - multiply255(data[from + channel] ?? 0, light);
    }
  }
  return { data: rgb, width: info.width, height: info.height };
}

/** a·b / 255, rounded, for bytes. */
function multiply255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

type Format = 'jpeg' | 'png' | 'gif' | 'tiff' | 'webp' | 'avif';

const SIGNATURES: readonly (readonly [Format, string, number])[] = [
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
 * What the first bytes say, which is what Pillow goes by. sharp would also take SVG, which is drawn and
 * not decoded, and must not stand in for a photograph.
 */
function imageFormat(bytes: Uint8Array): Format {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 16));
  const head = start.toString('latin1');
  const match = SIGNATURES.find(([, text, offset]) => head.startsWith(text, offset));
  if (match) return match[0];
  if (bytes.byteLength === 0) throw new Error('an empty file');
  if (head.startsWith('BM')) throw new Error('a BMP file, which is not supported');
  if (/^P[1-6]\s/.test(head)) throw new Error('a PPM or PGM file, which is not supported');
  throw new Error('a file that is not JPEG, PNG, WebP, TIFF, GIF or AVIF');
}

async function isCmyk(bytes: Uint8Array, format: Format): Promise<boolean> {
  // Reading the whole header costs an eighth of decoding a small JPEG; its component count is near.
  if (format === 'jpeg') return jpegComponents(bytes) === 4;
  return format === 'tiff' && (await sharp(bytes, OPTIONS).metadata()).space === 'cmyk';
}

/** The number of components in a JPEG's frame header, or null if there is no such header. */
function jpegComponents(bytes: Uint8Array): number | null {
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

/** Why reading or decoding failed, in a few words. */
export function decodeProblem(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no file';
  if (code === 'EISDIR') return 'a folder';
  if (code === 'EACCES') return 'a file that may not be read';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  if (message.includes('exceeds pixel limit')) return `more than ${MAX_PIXELS} pixels`;
  // libvips may repeat itself on several lines.
  return message.split('\n', 1)[0] ?? message;
}
