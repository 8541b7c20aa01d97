/** Decodes images with sharp. images/decode.ts says which pixels they give. */

import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import {
  cmykToRgb,
  imageFormat,
  jpegComponents,
  MAX_PIXELS,
  unreadableImage,
  type ImageFormat,
} from '../../images/decode.js';
import { inverseOrientation, orient } from '../../images/orient.js';
import { decodedOrientation, exifOrientation } from '../../images/orientation.js';
import type { ExifUse, RgbImage } from '../platform.js';

const OPTIONS = {
  limitInputPixels: MAX_PIXELS,
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
    const bytes = typeof image === 'string' ? await readFile(image) : image;
    const format = imageFormat(bytes);
    const decoded = (await isCmyk(bytes, format)) ? await decodeCmyk(bytes) : await decode(bytes);
    const stored = format === 'avif' ? unturned(bytes, decoded) : decoded;
    return orient(stored, decodedOrientation(bytes, format, exif));
  } catch (cause) {
    throw unreadableImage(name, cause);
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

/** Returns the pixels as an AVIF file stores them; libheif always turns them. */
function unturned(bytes: Uint8Array, image: RgbImage): RgbImage {
  return orient(image, inverseOrientation(exifOrientation(bytes) ?? 1));
}

/** Decodes CMYK and converts it here, because sharp would convert it through a printer profile. */
async function decodeCmyk(bytes: Uint8Array): Promise<RgbImage> {
  const { data, info } = await sharp(bytes, OPTIONS)
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return cmykToRgb(data, info);
}

async function isCmyk(bytes: Uint8Array, format: ImageFormat): Promise<boolean> {
  // Not metadata() for JPEG: reading the whole header takes an eighth of the time to decode a small image.
  if (format === 'jpeg') return jpegComponents(bytes) === 4;
  return format === 'tiff' && (await sharp(bytes, OPTIONS).metadata()).space === 'cmyk';
}
