/** Decodes images with sharp. images/decode.ts says which pixels they give. */

import { open } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { cmykToRgb, unreadableImage } from '../../images/decode.js';
import { decodePlain } from '../../images/formats/decode-plain.js';
import { jpegFrame } from '../../images/formats/jpeg-frame.js';
import { decodeBytesPerPixel } from '../../images/decode-cost.js';
import { checkFileSize, maxPixels, tooManyPixels } from '../../images/limits.js';
import { imageFormat, type ImageFormat } from '../../images/signatures.js';
import { inverseOrientation, orient } from '../../images/orient.js';
import { decodedOrientation, exifOrientation } from '../../images/orientation.js';
import { correctedTiff, tiffKind } from '../../images/formats/tiff-kind.js';
import type { ExifUse, RgbImage } from '../platform.js';

const OPTIONS = {
  ignoreIcc: true,
  // A cut-off or damaged file is an error. Flaws that libjpeg only warns about are not, nor are they in Pillow.
  failOn: 'error',
} as const;

/**
 * Decodes an image.
 *
 * @param image path of an image file, or its encoded bytes.
 * @param name how an error calls the image. Default: its path.
 * @param exif use of its EXIF orientation.
 * @throws DatasetError if it cannot be read or decoded.
 */
export async function decodeImage(
  image: string | Uint8Array,
  name = typeof image === 'string' ? image : `an image of ${image.byteLength} bytes`,
  exif: ExifUse = 'ignore',
): Promise<RgbImage> {
  try {
    const bytes = typeof image === 'string' ? await readImageFile(image) : image;
    checkFileSize(bytes.byteLength);
    const format = imageFormat(bytes);
    const orientation = decodedOrientation(bytes, format, exif);
    const turns = orientation !== 1 || format === 'avif';
    const decoded = decodePlain(bytes, format) ?? (await decodeBySharp({ bytes, format, turns }));
    const stored = format === 'avif' ? unturned(bytes, decoded) : decoded;
    return orient(stored, orientation);
  } catch (cause) {
    throw unreadableImage(name, cause);
  }
}

/** Reads a file unless it is too large. */
async function readImageFile(file: string): Promise<Uint8Array> {
  const handle = await open(file);
  try {
    checkFileSize((await handle.stat()).size);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

interface Encoded {
  readonly bytes: Uint8Array;
  readonly format: ImageFormat;
  /** Whether the decoded image is turned afterwards, which takes a copy. */
  readonly turns: boolean;
}

async function decodeBySharp({ bytes: file, format, turns }: Encoded): Promise<RgbImage> {
  const problem = knownProblem(file, format);
  if (problem !== null) throw new Error(problem);
  const bytes = format === 'tiff' ? correctedTiff(file) : file;
  const fileBytes = file.byteLength + (bytes === file ? 0 : bytes.byteLength);
  const bytesPerPixel = Math.max(decodeBytesPerPixel(bytes, format), turns ? 6 : 0);
  const limit = maxPixels(fileBytes, bytesPerPixel);
  const input = (): Sharp => sharp(bytes, { ...OPTIONS, limitInputPixels: limit });
  try {
    return (await isCmyk(bytes, format)) ? await decodeCmyk(input) : await decode(input);
  } catch (cause) {
    if ((cause as Error).message.includes('exceeds pixel limit')) throw tooManyPixels(limit);
    throw new Error(describeFailure(cause, format), { cause });
  }
}

/** Says why a file of a good format is refused; null if it is not. */
function knownProblem(bytes: Uint8Array, format: ImageFormat): string | null {
  if (format === 'tiff') return tiffKind(bytes).problem;
  const frame = format === 'jpeg' ? jpegFrame(bytes) : null;
  if (frame?.isLossless) return 'a lossless JPEG file, which few programs read';
  return frame && frame.bits !== 8 ? `a JPEG file of ${frame.bits} bits per level` : null;
}

/** Says in words what a message of libvips means. */
function describeFailure(cause: unknown, format: ImageFormat): string {
  // libvips may repeat itself on several lines.
  const [first = ''] = (cause as Error).message.split('\n', 1);
  const detail = first
    .replace(/^Input buffer (has corrupt header|contains unsupported image format):? ?/, '')
    .replace(/^\w*(vips|load)\w*: /i, '');
  return `a ${format.toUpperCase()} file that is damaged or cut off${detail && ` (${detail})`}`;
}

async function decode(input: () => Sharp): Promise<RgbImage> {
  const { data, info } = await input()
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`${info.channels} colour channels`);
  return { data, width: info.width, height: info.height };
}

/** Returns the pixels as an AVIF file stores them; libheif always turns them. */
function unturned(bytes: Uint8Array, image: RgbImage): RgbImage {
  return orient(image, inverseOrientation(exifOrientation(bytes) ?? 1));
}

/** Decodes CMYK and converts it here, because sharp would convert it through a printer profile. */
async function decodeCmyk(input: () => Sharp): Promise<RgbImage> {
  const image = input().pipelineColourspace('cmyk').toColourspace('cmyk');
  const { depth } = await image.metadata();
  // Pillow takes the high byte of 16 bits.
  const half = depth === 'ushort' ? image.linear(1 / 256) : image;
  const { data, info } = await half.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return cmykToRgb(data, info);
}

async function isCmyk(bytes: Uint8Array, format: ImageFormat): Promise<boolean> {
  // Not metadata() for JPEG: reading the whole header takes an eighth of the time to decode a small image.
  if (format === 'jpeg') return jpegFrame(bytes)?.components === 4;
  if (format !== 'tiff') return false;
  const { space } = await sharp(bytes, { ...OPTIONS, limitInputPixels: false }).metadata();
  return space === 'cmyk';
}
