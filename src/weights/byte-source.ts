/** Bounds-checked reading of weight files, which may be damaged or hostile. */

import { WeightsError } from '../common/errors.js';
import { FileError, type ByteSource, type Files } from '../platform/platform.js';

/**
 * Describes what is wrong with a file: a noun phrase that completes "found ...". Readers throw it;
 * {@link parseFile} turns it into a {@link WeightsError} that names the file.
 */
export class FormatProblem extends Error {
  override readonly name = 'FormatProblem';
}

/** Makes every read outside the source a {@link FormatProblem}, before memory is allocated for it. */
function checkedSource(source: ByteSource): ByteSource {
  const { size } = source;
  return {
    size,
    read: async (position, length) => {
      const inside =
        Number.isSafeInteger(position) &&
        Number.isSafeInteger(length) &&
        position >= 0 &&
        length >= 0 &&
        position + length <= size;
      if (inside) return source.read(position, length);
      throw new FormatProblem(
        `data said to be at bytes ${position} to ${position + length} of a file of ${size}`,
      );
    },
  };
}

function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    read: (position, length) =>
      Promise.resolve(new Uint8Array(bytes.subarray(position, position + length))),
  };
}

/** Kind of file that a reader expects, and the advice if it finds another. */
export interface Expectation {
  /** For example "a safetensors file". */
  readonly expected: string;
  readonly advice: string;
}

/**
 * Runs `parse` on a file, or on bytes in memory, and closes the file after it.
 *
 * @param input path, or the bytes themselves.
 * @throws WeightsError if the file cannot be read or `parse` finds a {@link FormatProblem}.
 */
export async function parseFile<T>(
  input: string | Uint8Array,
  files: Files,
  { expected, advice }: Expectation,
  parse: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const where = typeof input === 'string' ? input : 'memory';
  try {
    if (typeof input !== 'string') return await parse(checkedSource(memorySource(input)));
    const file = await files.open(input);
    try {
      return await parse(checkedSource(file));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof FormatProblem || error instanceof FileError)) throw error;
    const found =
      error instanceof FileError && error.code === 'ENOENT' ? 'no such file' : error.message;
    throw new WeightsError(`expected ${expected} in ${where}, found ${found}; ${advice}`, {
      cause: error,
    });
  }
}
