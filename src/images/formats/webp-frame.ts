/** Cuts the first frame out of an animated WebP file, for decoders that read still images only. */

import type { RgbImage } from '../../platform/platform.js';
import { imageSize } from '../image-size.js';

/** A still WebP file, and the place of its image on the animation's canvas, in pixels. */
export interface WebpFrame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly left: number;
  readonly top: number;
  readonly canvas: { readonly width: number; readonly height: number };
}

const ANIMATION = 2;
const ALPHA = 0x10;

/**
 * Returns the first frame of an animated WebP file.
 *
 * @returns null for a still image.
 * @throws Error if there is no whole frame.
 */
export function firstWebpFrame(bytes: Uint8Array): WebpFrame | null {
  const isExtended = text(bytes, 12) === 'VP8X';
  if (!isExtended || ((bytes[20] ?? 0) & ANIMATION) === 0) return null;
  const canvas = imageSize(bytes, 'webp');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 24 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length;
    if (text(bytes, at) === 'ANMF') {
      if (canvas === null || end > bytes.length) break;
      const read24 = (from: number): number =>
        view.getUint16(from, true) | ((bytes[from + 2] ?? 0) << 16);
      const [left, top] = [2 * read24(at + 8), 2 * read24(at + 11)];
      return { bytes: stillFile(bytes, at + 8, end), left, top, canvas };
    }
    at = end + (length & 1);
  }
  throw new Error('an animation without a whole first frame');
}

/** Returns a file of one frame: a header with its size, and its chunks. The frame's own header has 16 bytes. */
function stillFile(bytes: Uint8Array, frame: number, end: number): Uint8Array<ArrayBuffer> {
  const chunks = bytes.subarray(frame + 16, end);
  const file = new Uint8Array(30 + chunks.length);
  const view = new DataView(file.buffer);
  write(file, 0, 'RIFF');
  view.setUint32(4, file.length - 8, true);
  write(file, 8, 'WEBPVP8X');
  view.setUint32(16, 10, true);
  file[20] = ALPHA;
  // Width - 1 and height - 1, 24 bits each, as in the frame's header.
  file.set(bytes.subarray(frame + 6, frame + 12), 24);
  file.set(chunks, 30);
  return file;
}

/** Lays a frame on an empty canvas, which is black. */
export function onCanvas(image: RgbImage, { left, top, canvas }: WebpFrame): RgbImage {
  const { width, height } = canvas;
  if (image.width === width && image.height === height) return image;
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < image.height; row++) {
    const from = row * image.width * 3;
    data.set(image.data.subarray(from, from + image.width * 3), ((top + row) * width + left) * 3);
  }
  return { data, width, height };
}

function text(bytes: Uint8Array, from: number): string {
  return String.fromCharCode(...bytes.subarray(from, from + 4));
}

function write(bytes: Uint8Array, at: number, letters: string): void {
  for (let i = 0; i < letters.length; i++) bytes[at + i] = letters.charCodeAt(i);
}
