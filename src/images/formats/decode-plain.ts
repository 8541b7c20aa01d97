/** Decodes the formats that have readers here: sharp does not read them, or not with Pillow's pixels. */

import type { RgbImage } from '../../platform/platform.js';
import type { ImageFormat } from '../signatures.js';
import { decodeBmp } from './bmp.js';
import { decodeGif } from './gif.js';
import { decodePnm } from './pnm.js';

const READERS: Readonly<Partial<Record<ImageFormat, (bytes: Uint8Array) => RgbImage>>> = {
  bmp: decodeBmp,
  gif: decodeGif,
  pnm: decodePnm,
};

/**
 * Decodes BMP, GIF and PNM.
 *
 * @returns null for another format.
 * @throws Error saying what is wrong with the file.
 */
export function decodePlain(bytes: Uint8Array, format: ImageFormat): RgbImage | null {
  return READERS[format]?.(bytes) ?? null;
}
