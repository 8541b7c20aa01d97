/** Estimates the memory that decoding an image takes, by its first bytes. Measured; docs/data.md has the table. */

import { jpegFrame } from './formats/jpeg-frame.js';
import type { ImageFormat } from './signatures.js';

/** Bytes per pixel of the decoded image. */
const RGB = 3;

/**
 * Returns the bytes per pixel at the peak of decoding, the decoded image included, the file not.
 *
 * @param bytes the file.
 */
export function decodeBytesPerPixel(bytes: Uint8Array, format: ImageFormat): number {
  switch (format) {
    case 'jpeg':
      return jpegBytesPerPixel(bytes);
    case 'png': {
      // An interlaced image is put together whole before it is converted: up to four channels of 16 bits.
      const [bits = 8, , , , isInterlaced = 0] = bytes.subarray(24, 29);
      return isInterlaced === 0 ? RGB : RGB + 4 * Math.ceil(bits / 8);
    }
    case 'webp':
      // The decoder's own images beside the result.
      return RGB + 8;
    case 'avif':
      return RGB + 16;
    case 'tiff':
      return RGB + 4;
    case 'gif':
    case 'bmp':
    case 'pnm':
      // Palette indices.
      return RGB + 1;
  }
}

/** A progressive file keeps two bytes per coefficient until its last scan. */
function jpegBytesPerPixel(bytes: Uint8Array): number {
  const frame = jpegFrame(bytes);
  const components = frame?.components ?? 3;
  const isCmyk = components === 4;
  return (frame?.isProgressive ? 2 * components : 0) + (isCmyk ? 4 : 0) + RGB;
}
