/**
 * The rules that every image decoder follows: which files are images, and which RGB pixels they give.
 *
 * The pixels are those that torchvision's ImageFolder sees, which is Pillow's `Image.open(file).convert('RGB')`.
 * So colour profiles are ignored, alpha is dropped and not blended, gray and palettes become RGB, CMYK takes Pillow's
 * plain formula, and an animation gives its first frame. The orientation in EXIF is ignored unless the setting `exif`
 * says otherwise, except in TIFF files, which Pillow turns whenever it reads them. The pixels are exactly Pillow's,
 * with these exceptions:
 *
 * - 16-bit gray: the high byte, as for 16-bit colour. Pillow cuts every level above 255 to 255, which
 *   makes most such images white.
 *   Signed 16-bit gray: the high byte, too, and 0 for negative levels.
 * - TIFF with a colour map of 8 bits, or with 16-bit colours in separate planes: read as the file says. Pillow makes the
 *   former black and misreads the latter.
 * - TIFF with colours that are multiplied by alpha: divided by it before the alpha is dropped, as in Pillow, but with
 *   rounding that differs: by a level at 8 bits, by far more at 16 bits where alpha is low.
 * - AVIF: apart at the edges of colours, and far apart in noise, because the decoders interpolate colour differently.
 * - BMP whose palette of grays does not fit its bits, or with colour masks that Pillow refuses: read as the
 *   file says. Pillow misreads or refuses it.
 */

import { DatasetError } from '../common/errors.js';
import type { RgbImage } from '../platform/platform.js';

/**
 * Converts CMYK to RGB by Pillow's cmyk2rgb: (255 - C)(255 - K) / 255.
 *
 * @param data rows of interleaved pixels whose first four of `channels` values are C, M, Y and K.
 */
export function cmykToRgb(
  data: Uint8Array,
  { width, height, channels }: Readonly<Record<'width' | 'height' | 'channels', number>>,
): RgbImage {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = pixel * channels;
    const light = 255 - (data[from + 3] ?? 0);
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = light - multiply255(data[from + channel] ?? 0, light);
    }
  }
  return { data: rgb, width, height };
}

/** Returns a·b / 255, rounded, for bytes. */
function multiply255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Says in a few words why reading or decoding failed. */
export function decodeProblem(cause: unknown): string {
  const { code, message } = cause as Error & { readonly code?: string };
  if (code === 'ENOENT') return 'no file';
  if (code === 'EISDIR') return 'a folder';
  if (code === 'EACCES') return 'a file that may not be read';
  if (code === 'ELOOP') return 'a link that leads back to itself';
  return message;
}

/** Returns the error for an image that cannot be decoded. */
export function unreadableImage(name: string, cause: unknown): DatasetError {
  return new DatasetError(
    `expected a readable image, found ${decodeProblem(cause)}: ${name}; repair, convert or remove it`,
    { cause },
  );
}

/** Returns the error for an image whose pixels cannot be brought to the network's input. */
export function unusableImage(
  name: string,
  { width, height }: Readonly<Record<'width' | 'height', number>>,
  cause: unknown,
): DatasetError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new DatasetError(
    `expected an image that can be resized, found ${width} x ${height} pixels (${reason}): ${name}; ` +
      'free memory, or resize the image',
    { cause },
  );
}
