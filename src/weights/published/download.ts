/** Downloads weights from their publisher's address once, verifies them before a byte is parsed, and caches them. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { PretrainedSpec } from '../../artifacts/manifest.js';
import { cacheFolder } from '../../common/node/cache-folder.js';
import { WeightsError } from '../../common/errors.js';
import { makeFolder } from '../../common/node/make-folder.js';

export interface FetchOptions {
  /** Folder of the cache; default {@link cacheFolder}. */
  readonly cache?: string;
  /** Called as the download proceeds. `totalBytes` is null if the server does not tell the size. */
  readonly onProgress?: (receivedBytes: number, totalBytes: number | null) => void;
  /** Seconds after which a silent connection is given up; default 60. */
  readonly stallSeconds?: number;
  /** Aborts the download. */
  readonly signal?: AbortSignal;
}

/** Largest file accepted if the expected size is not known; more than any classifier that is trained on a CPU. */
const MAX_BYTES = 2 ** 31;
/** Milliseconds since the last write after which a partial file is left over: far longer than a download may stall. */
const ABANDONED = 3_600_000;
const STALL_SECONDS = 60;
/** Ways without published weights, for messages. */
export const CHOICES =
  'or use --weights FILE (a .safetensors or .pth file you have) or --weights random (no pretraining)';

/** Published weights with an address. */
export type WeightsAtUrl = PretrainedSpec & { readonly url: string };

/** Checks whether published weights have an address. */
export function hasUrl(spec: PretrainedSpec): spec is WeightsAtUrl {
  return spec.url !== null;
}

/** Returns the path of a published file in the cache. */
export function cachedFile({ url }: WeightsAtUrl, cache: string): string {
  return path.join(cache, path.posix.basename(new URL(url).pathname));
}

/**
 * Returns the path of the verified file, from the cache or downloaded. A cached file with a wrong hash is downloaded
 * again.
 *
 * @throws WeightsError if the file does not arrive whole and with the right hash; the cache then keeps nothing of it.
 */
export async function fetchPretrained(
  spec: WeightsAtUrl,
  options: FetchOptions = {},
): Promise<string> {
  const folder = options.cache ?? cacheFolder();
  const file = cachedFile(spec, folder);
  const cached = await hashFile(file);
  if (cached !== null && hashProblem(spec, cached) === null) return file;

  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.part`;
  try {
    await makeFolder(folder);
    await sweepParts(file);
    const handle = await open(temporary, 'wx');
    let found: string;
    try {
      found = await download(spec, handle, options);
      await handle.sync();
    } finally {
      await handle.close();
    }
    const problem = hashProblem(spec, found);
    if (problem !== null) throw new WeightsError(problem);
    await rename(temporary, file);
    return file;
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new WeightsError(
      `expected to fetch ${spec.name} weights from ${spec.url}, failed: ${reasonOf(cause)}; try again, ${CHOICES}`,
      { cause },
    );
  }
}

/** Removes partial files that killed processes left. A download under way keeps writing to its file. */
async function sweepParts(file: string): Promise<void> {
  const folder = path.dirname(file);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${path.basename(file)}.`) || !name.endsWith('.part')) continue;
    const part = path.join(folder, name);
    const found = await stat(part).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > ABANDONED) await rm(part, { force: true });
  }
}

/** Returns the SHA-256 of a file in hexadecimal, or null if there is no such file. */
export async function hashFile(file: string): Promise<string | null> {
  const found = await stat(file).catch(() => null);
  if (found?.isFile() !== true) return null;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Checks a hash. If none is published, checks the digits in the file's name, as torchvision does. */
export function hashProblem(
  { sha256, sha256Prefix }: PretrainedSpec,
  found: string,
): string | null {
  const expected = sha256 ?? sha256Prefix ?? '';
  // An empty prefix would accept anything.
  if (expected.length >= 8 && found.startsWith(expected)) return null;
  const shown = sha256 ?? `${expected}...`;
  return `expected SHA-256 ${shown}, found ${found}`;
}

/** Streams the file to `handle` and returns its SHA-256. */
async function download(
  spec: WeightsAtUrl,
  handle: FileHandle,
  { onProgress, stallSeconds = STALL_SECONDS, signal }: FetchOptions,
): Promise<string> {
  const stalled = new AbortController();
  const timer = setTimeout(() => {
    stalled.abort(new Error(`nothing received for ${stallSeconds} seconds`));
  }, stallSeconds * 1000);
  let received = 0;
  let total: number | null = null;
  try {
    const stops = signal === undefined ? [stalled.signal] : [stalled.signal, signal];
    const response = await fetch(spec.url, { signal: AbortSignal.any(stops) });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the server answered HTTP ${response.status} ${response.statusText}`.trim());
    }
    total = contentLength(response) ?? spec.bytes;
    if (spec.bytes !== null && total !== null && total !== spec.bytes) {
      await response.body.cancel();
      throw new Error(`expected ${spec.bytes} bytes, the server offers ${total}`);
    }
    const hash = createHash('sha256');
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      timer.refresh();
      received += chunk.byteLength;
      if (received > (total ?? MAX_BYTES)) {
        throw new Error(`expected ${total ?? `at most ${MAX_BYTES}`} bytes, the server sends more`);
      }
      hash.update(chunk);
      await handle.writeFile(chunk);
      onProgress?.(received, total);
    }
    if (total !== null && received !== total) throw new Error('the connection ended early');
    return hash.digest('hex');
  } catch (cause) {
    if (received === 0) throw cause;
    const share = total === null ? `${received}` : `${received} of ${total}`;
    throw new Error(`cut off after ${share} bytes: ${reasonOf(cause)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the length of the body as it arrives; null if it is unknown, as when the server compresses it. */
function contentLength(response: Response): number | null {
  const length = response.headers.get('content-length');
  return length === null || response.headers.has('content-encoding') ? null : Number(length);
}

/** Returns why a fetch failed. Its message is only "fetch failed" or "terminated"; its cause has the reason. */
function reasonOf(error: unknown): string {
  if (!isErrorLike(error)) return String(error);
  if (error.message === 'fetch failed' || error.message === 'terminated') {
    return isErrorLike(error.cause) ? reasonOf(error.cause) : error.message;
  }
  const [first] = (error as { errors?: unknown[] }).errors ?? [];
  return error.message === '' && first !== undefined ? reasonOf(first) : error.message;
}

/** Returns whether a value is an error. `instanceof` does not tell: test runners have an Error class of their own. */
function isErrorLike(error: unknown): error is Error {
  return typeof error === 'object' && error !== null && 'message' in error;
}
