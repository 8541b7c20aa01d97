/** Reads the size of an image from its header, before anything of that size is decoded. */

import { jpegFrame } from './formats/jpeg-frame.js';
import type { ImageFormat } from './signatures.js';

/** Size in pixels, as stored: before any turn by EXIF. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Returns the size of a JPEG, PNG or WebP image; of an animation, that of its canvas.
 *
 * @returns null for other formats, and if the file ends before its size.
 */
export function imageSize(bytes: Uint8Array, format: ImageFormat): ImageSize | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (format === 'png') return { width: view.getUint32(16), height: view.getUint32(20) };
    if (format === 'webp') return webpSize(view);
    const frame = format === 'jpeg' ? jpegFrame(bytes) : null;
    return frame && { width: frame.width, height: frame.height };
  } catch {
    // The file is cut off. Whoever decodes it says so.
    return null;
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
