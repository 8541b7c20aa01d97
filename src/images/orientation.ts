/** Finds the orientation that a camera wrote into an image file, and says when a decoder applies it. */

import type { ExifUse } from '../platform/platform.js';
import { avifOrientation } from './formats/avif-orientation.js';
import type { ImageFormat } from './signatures.js';
import { metadataBlocks } from './metadata-blocks.js';
import { readTiffTags } from './formats/tiff-tags.js';

const TAG_ORIENTATION = 0x0112;

/**
 * Returns the orientation that a decoder applies to the pixels as they are stored, for {@link orient}.
 *
 * Pillow turns a TIFF file whenever it reads one, so torchvision sees it turned and so does training, whatever the
 * setting.
 */
export function decodedOrientation(bytes: Uint8Array, format: ImageFormat, exif: ExifUse): number {
  const isApplied = exif === 'apply' || format === 'tiff';
  return (isApplied ? exifOrientation(bytes) : null) ?? 1;
}

/** Returns the orientation that `exif` decides on: null for a TIFF file, which is always turned. */
export function optionalOrientation(bytes: Uint8Array, format: ImageFormat): number | null {
  return format === 'tiff' ? null : exifOrientation(bytes);
}

/**
 * Reads the EXIF orientation of a JPEG, PNG, WebP, TIFF or BigTIFF file; or that of an AVIF file, which has the same
 * numbers but another place. If EXIF has none, that of XMP counts, as in Pillow.
 *
 * @param bytes the whole file.
 * @returns 1 to 8; 1 is upright. Null if the file has none, or a number outside this range.
 */
export function exifOrientation(bytes: Uint8Array): number | null {
  if (String.fromCharCode(...bytes.subarray(4, 8)) === 'ftyp') return avifOrientation(bytes);
  const { exif, xmp } = metadataBlocks(bytes);
  const value = (exif && readTiffTags(exif)?.get(TAG_ORIENTATION)?.[0]) ?? xmpOrientation(xmp);
  return value >= 1 && value <= 8 ? value : null;
}

/** Returns the digit in XMP; NaN if there is none. */
function xmpOrientation(xmp: string | null): number {
  return Number(/tiff:Orientation(?:="|>)([0-9])/.exec(xmp ?? '')?.[1]);
}
