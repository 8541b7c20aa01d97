/** Small JPEGs as `data:` URIs, for pages that contain their images. */

import sharp from 'sharp';
import type { Preprocessing } from '../artifacts/manifest.js';
import type { ImageDecoder } from '../platform/platform.js';

const SIDE = 180;
const QUALITY = 72;

function toUri(jpeg: Buffer): string {
  return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
}

/** Cuts an image file, or its bytes, to a small square; returns null if it cannot be read. */
export async function thumbnail(
  decoder: ImageDecoder,
  image: string | Uint8Array,
): Promise<string | null> {
  try {
    const { data, width, height } = await decoder.decode(image);
    const jpeg = await sharp(data, { raw: { width, height, channels: 3 } })
      .resize(SIDE, SIDE, { fit: 'cover' })
      .jpeg({ quality: QUALITY, mozjpeg: true })
      .toBuffer();
    return toUri(jpeg);
  } catch {
    return null;
  }
}

/**
 * Turns the network's input back into an image.
 *
 * @param pixels float32 [3, S, S], normalised.
 */
export async function inputThumbnail(
  pixels: Float32Array,
  { inputSize, mean, std }: Preprocessing,
): Promise<string> {
  const area = inputSize * inputSize;
  const data = new Uint8ClampedArray(area * 3);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = pixels[channel * area + i] ?? 0;
      data[i * 3 + channel] = (value * (std[channel] ?? 1) + (mean[channel] ?? 0)) * 255;
    }
  }
  const raw = { width: inputSize, height: inputSize, channels: 3 } as const;
  const jpeg = await sharp(data, { raw })
    .resize(SIDE, SIDE, { kernel: inputSize < SIDE ? 'nearest' : 'lanczos3' })
    .jpeg({ quality: QUALITY, mozjpeg: true })
    .toBuffer();
  return toUri(jpeg);
}
