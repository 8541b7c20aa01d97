/** Reads the size of an image from its header, before anything of that size is decoded. */

import type { ImageFormat } from './decode.js';

/** Size in pixels, as stored: before any turn by EXIF. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Returns the size of a JPEG, PNG, GIF or WebP image; of an animation, that of its canvas.
 *
 * @returns null for other formats, and if the file ends before its size.
 */
export function imageSize(bytes: Uint8Array, format: ImageFormat): ImageSize | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (format === 'png') return { width: view.getUint32(16), height: view.getUint32(20) };
    if (format === 'gif')
      return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    if (format === 'jpeg') return jpegSize(view);
    if (format === 'webp') return webpSize(view);
    return null;
  } catch {
    // The file is cut off. Whoever decodes it says so.
    return null;
  }
}

function jpegSize(view: DataView): ImageSize {
  for (let at = 2; ;) {
    const marker = view.getUint8(at) === 0xff ? view.getUint8(at + 1) : 0;
    // SOF0 to SOF15; the three others between them are tables.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    // A stray or a fill byte, which libjpeg skips, too.
    at += marker === 0 || marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
}

function webpSize(view: DataView): ImageSize {
  const kind = view.getUint8(15);
  if (kind === 'X'.charCodeAt(0)) {
    const side = (at: number): number => 1 + (view.getUint32(at, true) & 0xffffff);
    return { width: side(24), height: 1 + (view.getUint32(26, true) >>> 8) };
  }
  if (kind === 'L'.charCodeAt(0)) {
    const bits = view.getUint32(21, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}
