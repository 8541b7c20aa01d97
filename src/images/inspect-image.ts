/** Checks one image file: can it be read and decoded to its end? */

import type { ExifUse, ImageDecoder, Platform } from '../platform/platform.js';
import { blankReason } from './blank.js';
import { decodeProblem } from './decode.js';
import { optionalOrientation } from './orientation.js';
import { imageFormat } from './signatures.js';
import { badImage, type Inspection } from './workers/worker-messages.js';

/** The host's parts that a loader thread needs. */
export type ImageHost = Pick<Platform, 'files' | 'sha256'> & { readonly decoder: ImageDecoder };

/**
 * Decodes the whole image, as training will: the header may be right and the rest cut off.
 *
 * @param exif use of its EXIF orientation. To turn an image takes memory, so the largest ones fail only then.
 */
export async function inspectImage(
  file: string,
  { files, sha256, decoder }: ImageHost,
  exif: ExifUse,
): Promise<Inspection> {
  let bytes: Uint8Array;
  try {
    bytes = await files.read(file);
  } catch (cause) {
    return badImage(null, decodeProblem(cause));
  }
  const hash = sha256();
  hash.update(bytes);
  const digest = hash.digest();
  try {
    const image = await decoder.decode(bytes, file, exif);
    const format = imageFormat(bytes);
    return {
      sha256: digest,
      problem: null,
      orientation: optionalOrientation(bytes, format),
      blank: blankReason(image, bytes, format),
    };
  } catch (error) {
    return badImage(digest, decodeProblem(error instanceof Error ? error.cause : error));
  }
}
