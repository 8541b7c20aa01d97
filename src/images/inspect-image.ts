/** Checks one image file: can it be read and decoded to its end? */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ImageDecoder } from '../platform/platform.js';
import { decodeProblem } from './decode.js';
import type { Inspection } from './worker-messages.js';

/** Decodes the whole image, as training will: the header may be right and the rest cut off. */
export async function inspectImage(file: string, decoder: ImageDecoder): Promise<Inspection> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    return { sha256: null, problem: decodeProblem(cause) };
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  try {
    await decoder.decode(bytes, file);
    return { sha256, problem: null };
  } catch (error) {
    return { sha256, problem: decodeProblem(error instanceof Error ? error.cause : error) };
  }
}
