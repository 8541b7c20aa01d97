/** Bounds-checked reading of weight files, which may be damaged or hostile. */

import { open } from 'node:fs/promises';
import { WeightsError } from '../common/errors.js';

/** Random access to the bytes of a file, or of memory. */
export interface ByteSource {
  readonly size: number;
  /**
   * A copy of `length` bytes in a buffer of their own, so any element type may be viewed at offset 0.
   *
   * @throws FormatProblem, before allocating, if the range is not inside the source.
   */
  read(position: number, length: number): Promise<Uint8Array>;
}

/**
 * What is wrong with a file, as a noun phrase that ends "found ...". Readers throw it; {@link parseFile} turns
 * it into a {@link WeightsError} that names the file.
 */
export class FormatProblem extends Error {
  override readonly name = 'FormatProblem';
}

/** Node.js refuses single reads of 2 GiB and more. */
const LARGEST_READ = 2 ** 30;

function checkRange(position: number, length: number, size: number): void {
  const inside =
    Number.isSafeInteger(position) &&
    Number.isSafeInteger(length) &&
    position >= 0 &&
    length >= 0 &&
    position + length <= size;
  if (!inside) {
    throw new FormatProblem(
      `data said to be at bytes ${position} to ${position + length} of a file of ${size}`,
    );
  }
}

/** Bytes in memory as a source. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    // eslint-disable-next-line @typescript-eslint/require-await -- the interface is asynchronous for files
    read: async (position, length) => {
      checkRange(position, length, bytes.byteLength);
      return new Uint8Array(bytes.subarray(position, position + length));
    },
  };
}

/**
 * Runs `parse` on a file, or on bytes in memory, and closes the file after it.
 *
 * @param input path, or the bytes themselves.
 * @param expected what the file should be, for example "a safetensors file".
 * @param advice what to do when it is not.
 * @throws WeightsError if the file cannot be read or `parse` finds a {@link FormatProblem}.
 */
export async function parseFile<T>(
  input: string | Uint8Array,
  expected: string,
  advice: string,
  parse: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const where = typeof input === 'string' ? input : 'memory';
  try {
    if (typeof input === 'string') return await withFile(input, parse);
    return await parse(memorySource(input));
  } catch (error) {
    if (error instanceof FormatProblem) {
      throw new WeightsError(
        `expected ${expected} in ${where}, found ${error.message}; ${advice}`,
        { cause: error },
      );
    }
    if (isSystemError(error)) {
      const found = error.code === 'ENOENT' ? 'no such file' : error.message;
      throw new WeightsError(`expected ${expected} in ${where}, found ${found}; ${advice}`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function withFile<T>(path: string, parse: (source: ByteSource) => Promise<T>): Promise<T> {
  const handle = await open(path, 'r');
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new FormatProblem('something that is not a regular file');
    const size = stat.size;
    return await parse({
      size,
      read: async (position, length) => {
        checkRange(position, length, size);
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          const wanted = Math.min(length - done, LARGEST_READ);
          const { bytesRead } = await handle.read(bytes, done, wanted, position + done);
          if (bytesRead === 0) throw new FormatProblem('a file that became shorter while read');
          done += bytesRead;
        }
        return bytes;
      },
    });
  } finally {
    await handle.close();
  }
}

/** An error of the file system. (Not by `instanceof`: test runners have an Error class of their own.) */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return typeof error === 'object' && error !== null && 'syscall' in error && 'code' in error;
}
