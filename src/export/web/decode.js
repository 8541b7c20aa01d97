/** Decodes images in the page. src/images/browser-decoder.ts says to which levels, and which format goes which way. */

import { decodeInBrowser } from '../../images/browser-decoder.js';

export { fitEvaluation } from '../../images/workers/graph-input.js';

/** Pixels that are read from a canvas at once, because browsers bound the size of a canvas. */
const STRIP = 2 ** 22;

/**
 * Decodes an image file.
 *
 * @param {Blob} file
 * @param {'ignore' | 'apply'} exif use of the orientation in EXIF
 * @returns {Promise<{ data: Uint8Array, width: number, height: number }>} RGB levels, row by row
 * @throws Error that says in words what was found in place of an image
 */
export async function decode(file, exif) {
  const buffer = await file.arrayBuffer().catch((cause) => {
    throw new Error('expected an image, found a folder or a file that may not be read', { cause });
  });
  return decodeInBrowser(new Uint8Array(buffer), exif, { canvas, png, webp });
}

async function png(bytes) {
  const { default: decodePng } = await import('@jsquash/png/decode.js');
  return decodePng(bytes);
}

async function webp(bytes) {
  const { default: decodeWebp } = await import('@jsquash/webp/decode.js');
  return decodeWebp(bytes);
}

async function canvas(bytes) {
  const bitmap = await createImageBitmap(new Blob([bytes]), {
    imageOrientation: 'none',
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  });
  const { width, height } = bitmap;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const context = new OffscreenCanvas(width, rows).getContext('2d', { willReadFrequently: true });
  context.globalCompositeOperation = 'copy';
  const data = new Uint8Array(width * height * 3);
  let to = 0;
  let isOpaque = true;
  for (let top = 0; top < height; top += rows) {
    context.drawImage(bitmap, 0, -top);
    const count = Math.min(rows, height - top);
    const { data: rgba } = context.getImageData(0, 0, width, count);
    for (let from = 0; from < rgba.length; from += 4) {
      data[to++] = rgba[from];
      data[to++] = rgba[from + 1];
      data[to++] = rgba[from + 2];
      isOpaque &&= rgba[from + 3] === 255;
    }
  }
  bitmap.close();
  return { data, width, height, isOpaque };
}
