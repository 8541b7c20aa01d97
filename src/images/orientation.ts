/** Finds the orientation that a camera wrote into an image file, and says when a decoder applies it. */

import type { ExifUse } from '../platform/platform.js';
import { avifOrientation } from './avif-orientation.js';
import type { ImageFormat } from './signatures.js';
import { readTiffTags } from './tiff-tags.js';

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
 * numbers but another place. An orientation in XMP alone is not found.
 *
 * @param bytes the whole file.
 * @returns 1 to 8; 1 is upright. Null if the file has none, or a number outside this range.
 */
export function exifOrientation(bytes: Uint8Array): number | null {
  if (text(bytes, 4, 4) === 'ftyp') return avifOrientation(bytes);
  const block = findExif(bytes);
  const value = block && readTiffTags(block)?.get(TAG_ORIENTATION)?.[0];
  return value && value >= 1 && value <= 8 ? value : null;
}

function findExif(bytes: Uint8Array): Uint8Array | null {
  const head = text(bytes, 0, 12);
  if (head.startsWith('\xff\xd8')) return jpegExif(bytes);
  if (head.startsWith('\x89PNG')) return chunk(bytes, { start: 8, name: 'eXIf', isPng: true });
  if (head.startsWith('RIFF') && head.endsWith('WEBP')) {
    const found = chunk(bytes, { start: 12, name: 'EXIF', isPng: false });
    return found && withoutPrefix(found);
  }
  return bytes;
}

/** Returns the first EXIF block before the pixels of a JPEG file. */
function jpegExif(bytes: Uint8Array): Uint8Array | null {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      // A fill byte.
      at++;
      continue;
    }
    if (marker === 0xda) return null;
    const length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    if (marker === 0xe1 && text(bytes, at + 4, 6) === 'Exif\0\0') {
      return withoutPrefix(bytes.subarray(at + 4, at + 2 + length));
    }
    at += 2 + length;
  }
  return null;
}

/** Some programs write the prefix of JPEG's block twice, or in WebP too. Pillow drops both. */
function withoutPrefix(block: Uint8Array): Uint8Array {
  let rest = block;
  for (let k = 0; k < 2 && text(rest, 0, 6) === 'Exif\0\0'; k++) rest = rest.subarray(6);
  return rest;
}

interface ChunkSearch {
  /** Offset of the first chunk. */
  readonly start: number;
  readonly name: string;
  /** PNG: length, name, data, checksum, big endian. Otherwise RIFF: name, length, data, padding, little endian. */
  readonly isPng: boolean;
}

function chunk(bytes: Uint8Array, { start, name, isPng }: ChunkSearch): Uint8Array | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;
  while (at + 8 <= bytes.length) {
    const length = view.getUint32(isPng ? at : at + 4, !isPng);
    const end = at + 8 + length;
    if (text(bytes, isPng ? at + 4 : at, 4) === name) return bytes.subarray(at + 8, end);
    at = isPng ? end + 4 : end + (length % 2);
  }
  return null;
}

function text(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}
