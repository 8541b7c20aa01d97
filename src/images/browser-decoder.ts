/**
 * Decodes images in a browser to the levels that training saw, which decode.ts describes. src/export/web/decode.js has
 * the decoders that the page of `--web` hands in.
 *
 * Browsers differ from those rules. They turn a JPEG image by its EXIF whatever they are told, so EXIF is hidden first.
 * A canvas multiplies colours by alpha and cannot undo that, so PNG and WebP have decoders of their own. They
 * round CMYK down, so colours and black are decoded as two images (jpeg-planes.ts). AVIF is decoded as far as it has no transparent pixels, with the small
 * differences that any two decoders have. GIF, BMP and PNM have readers in formats/. TIFF is not read.
 */

import type { ExifUse, RgbImage } from '../platform/platform.js';
import { cmykToRgb } from './decode.js';
import { decodePlain } from './formats/decode-plain.js';
import { jpegFrame } from './formats/jpeg-frame.js';
import { splitCmyk } from './formats/jpeg-planes.js';
import { imageSize } from './image-size.js';
import { hasJpegEnd, withoutExif } from './formats/jpeg-segments.js';
import { checkSize } from './limits.js';
import { inverseOrientation, orient } from './orient.js';
import { decodedOrientation, exifOrientation } from './orientation.js';
import { hasIntactPixels } from './formats/png-checksums.js';
import { imageFormat, type ImageFormat } from './signatures.js';
import { firstWebpFrame, onCanvas } from './formats/webp-frame.js';

/** Pixels as browsers have them: uint8 [height, width, RGBA]. */
export interface RgbaImage {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Decoders that a browser has. Each rejects if the file is damaged. */
export interface BrowserDecoders {
  /** The browser's own decoder, its colour management off, read back from a canvas. */
  readonly canvas: (bytes: Uint8Array<ArrayBuffer>) => Promise<CanvasImage>;
  /** Need not check the file's checksums. */
  readonly png: (bytes: Uint8Array) => Promise<RgbaImage>;
  /** Reads still images only. */
  readonly webp: (bytes: Uint8Array) => Promise<RgbaImage>;
}

export interface CanvasImage extends RgbImage {
  /** Whether no pixel is transparent, not even in part. */
  readonly isOpaque: boolean;
}

/** Says what was found in place of an image. */
class Refusal extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(`expected a JPEG, PNG, WebP, GIF, AVIF, BMP or PNM image, found ${problem}`, options);
  }
}

/** From this many pixels on, a failure may be one of memory. */
const LARGE = 2 ** 24;

/**
 * Decodes an image file.
 *
 * @throws Error that says in words what was found in place of an image.
 */
export async function decodeInBrowser(
  bytes: Uint8Array<ArrayBuffer>,
  exif: ExifUse,
  decoders: BrowserDecoders,
): Promise<RgbImage> {
  const format = orRefuse(() => imageFormat(bytes));
  const size = imageSize(bytes, format);
  if (size) {
    orRefuse(() => {
      checkSize(size.width, size.height);
    });
  }
  try {
    const stored = await decodeStored(bytes, format, decoders);
    return orient(stored, decodedOrientation(bytes, format, exif));
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    const isLarge = size !== null && size.width * size.height >= LARGE;
    const problem = `a ${format.toUpperCase()} file that is damaged, cut off or of a rare kind`;
    const memory = isLarge ? ', or too large for the memory of this browser' : '';
    throw new Refusal(problem + memory, { cause });
  }
}

/** Runs a step whose error says what the file is. */
function orRefuse<Result>(step: () => Result): Result {
  try {
    return step();
  } catch (cause) {
    throw new Refusal((cause as Error).message, { cause });
  }
}

/** Returns the pixels in the order of the file: not turned by any orientation. */
async function decodeStored(
  bytes: Uint8Array<ArrayBuffer>,
  format: ImageFormat,
  { canvas, png, webp }: BrowserDecoders,
): Promise<RgbImage> {
  switch (format) {
    case 'jpeg':
      if (!hasJpegEnd(bytes)) throw new Error('no end');
      return (await decodeCmyk(bytes, canvas)) ?? canvas(withoutExif(bytes));
    case 'png':
      if (!hasIntactPixels(bytes)) throw new Error('a wrong checksum');
      return withoutAlpha(await png(bytes));
    case 'webp': {
      const frame = firstWebpFrame(bytes);
      const image = withoutAlpha(await webp(frame?.bytes ?? bytes));
      return frame === null ? image : onCanvas(image, frame);
    }
    case 'avif': {
      const image = await canvas(bytes);
      if (!image.isOpaque) {
        throw new Refusal('an AVIF file with transparent pixels, whose colours browsers change');
      }
      // Its turn is not in EXIF and cannot be hidden, so it is undone.
      return orient(image, inverseOrientation(exifOrientation(bytes) ?? 1));
    }
    default: {
      const image = orRefuse(() => decodePlain(bytes, format));
      if (image === null) throw new Refusal(`a ${format.toUpperCase()} file`);
      return image;
    }
  }
}

/** Decodes a JPEG file in CMYK; returns null for another one, or one of a rare kind. */
async function decodeCmyk(
  bytes: Uint8Array,
  canvas: BrowserDecoders['canvas'],
): Promise<RgbImage | null> {
  if (jpegFrame(bytes)?.components !== 4) return null;
  const planes = splitCmyk(bytes);
  if (planes === null) return null;
  const [colours, black] = [await canvas(planes.colours), await canvas(planes.black)];
  const { width, height } = colours;
  const inks = new Uint8Array(width * height * 4);
  for (let from = 0, to = 0; to < inks.length; from += 3, to += 4) {
    for (let i = 0; i < 3; i++) {
      const level = colours.data[from + i] ?? 0;
      inks[to + i] = planes.isInk ? level : 255 - level;
    }
    inks[to + 3] = 255 - (black.data[from] ?? 0);
  }
  return cmykToRgb(inks, { width, height, channels: 4 });
}

/** Returns the colours of RGBA as they are, without blending them. */
function withoutAlpha({ data: rgba, width, height }: RgbaImage): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < data.length; from += 4) {
    data[to++] = rgba[from] ?? 0;
    data[to++] = rgba[from + 1] ?? 0;
    data[to++] = rgba[from + 2] ?? 0;
  }
  return { data, width, height };
}
