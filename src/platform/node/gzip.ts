/** Gzip by Node.js. */

import { promisify } from 'node:util';
import zlib from 'node:zlib';

const expand = promisify<Uint8Array, zlib.ZlibOptions, Buffer<ArrayBuffer>>(zlib.gunzip);
const LARGEST = 2 ** 30;

/** Expands gzip'ed bytes. */
export async function gunzip(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const { buffer, byteOffset, byteLength } = await expand(bytes, { maxOutputLength: LARGEST });
  return new Uint8Array(buffer, byteOffset, byteLength);
}
