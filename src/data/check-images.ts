/**
 * Checks the images before the first step. Worker threads read and decode every file to its end, so that a broken one
 * is found now and not hours later.
 */

import { stat } from 'node:fs/promises';
import type { ImageFolder } from './folders/image-folder.js';
import type { BlankImage } from '../images/blank.js';
import { decodeProblem } from '../images/decode.js';
import { checkFileSize } from '../images/limits.js';
import type { BadImage } from '../common/errors.js';
import { InspectionCache, type FileStamp } from './inspection-cache.js';
import type { LoaderPool } from '../images/workers/worker-pool.js';
import { badImage, type Inspection } from '../images/workers/worker-messages.js';

/** Images that a worker thread checks before it replies. */
const FILES_PER_TASK = 4;
/** Files whose size and time are asked for at the same time. */
const STATS_AT_ONCE = 64;

export interface CheckImagesOptions {
  /** Cache folder; default: the user's. */
  readonly cache?: string;
  /** Called with the number of images checked so far. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the check with its reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** Result of the check of one folder. */
export interface CheckedImages {
  /** SHA-256 of each good file's bytes, by path, in the order of the samples. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Broken images, in the order of the samples. */
  readonly bad: readonly BadImage[];
  /** Number of images whose result an earlier check had cached. */
  readonly cached: number;
  /** Number of good images with an EXIF orientation other than 1 that the setting `exif` decides on. */
  readonly oriented: number;
  /** Good images with nothing to see on them, in the order of the samples. */
  readonly blank: readonly BlankImage[];
}

interface Pending {
  readonly file: string;
  readonly stamp: FileStamp;
}

/** Checks every image of a folder, except those that did not change since an earlier check. */
export async function checkImages(
  folder: ImageFolder,
  pool: LoaderPool,
  { cache, onProgress, signal }: CheckImagesOptions = {},
): Promise<CheckedImages> {
  const files = folder.samples.map(({ image }) => image);
  const store = await InspectionCache.open(folder.dir, pool.exif, cache);
  const found = new Map<string, Inspection>();
  const pending: Pending[] = [];
  let cachedCount = 0;
  for (let i = 0; i < files.length; i += STATS_AT_ONCE) {
    signal?.throwIfAborted();
    const some = files.slice(i, i + STATS_AT_ONCE);
    const stamps = await Promise.all(some.map(stampOf));
    for (const [k, file] of some.entries()) {
      const stamp = stamps[k];
      const cached = typeof stamp === 'object' ? store.get(file, stamp) : null;
      if (typeof stamp === 'string') found.set(file, badImage(null, stamp));
      else if (cached !== null) {
        found.set(file, cached);
        cachedCount++;
      } else if (stamp !== undefined) pending.push({ file, stamp });
    }
  }
  const report = (): void => onProgress?.(found.size, files.length);
  report();
  try {
    await inspectAll(pending, pool, signal, ({ file, stamp }, inspection) => {
      found.set(file, inspection);
      store.set(file, stamp, inspection);
      report();
    });
  } finally {
    // Keep the results so far even if the check was interrupted.
    await store.save(files);
  }
  return { ...summarise(files, found), cached: cachedCount };
}

/** Sorts the results of the check by what they mean. */
function summarise(
  files: readonly string[],
  found: ReadonlyMap<string, Inspection>,
): Omit<CheckedImages, 'cached'> {
  const hashes = new Map<string, string>();
  const bad: BadImage[] = [];
  const blankImages: BlankImage[] = [];
  let oriented = 0;
  for (const file of files) {
    const { sha256, problem, orientation, blank } = found.get(file) ?? badImage(null, 'nothing');
    if (sha256 === null || problem !== null) {
      bad.push({ path: file, reason: problem ?? 'unreadable' });
      continue;
    }
    hashes.set(file, sha256);
    if ((orientation ?? 1) !== 1) oriented++;
    if (blank !== null) blankImages.push({ path: file, reason: blank });
  }
  return { hashes, bad, oriented, blank: blankImages };
}

/** Returns the size and time of a file, or why it cannot be an image. A pipe is refused because reading it may never end. */
async function stampOf(file: string): Promise<FileStamp | string> {
  try {
    const found = await stat(file, { bigint: true });
    if (!found.isFile()) return 'not a regular file';
    checkFileSize(Number(found.size));
    return found;
  } catch (cause) {
    return decodeProblem(cause);
  }
}

/** Has the worker threads check `pending`; calls `onResult` for each file as its result comes. */
async function inspectAll(
  pending: readonly Pending[],
  pool: LoaderPool,
  signal: AbortSignal | undefined,
  onResult: (file: Pending, inspection: Inspection) => void,
): Promise<void> {
  const owner = {};
  let next = 0;
  const nextTasks = async (): Promise<void> => {
    while (next < pending.length) {
      signal?.throwIfAborted();
      const task = pending.slice(next, next + FILES_PER_TASK);
      next += FILES_PER_TASK;
      const names = task.map(({ file }) => file);
      const results = await pool.inspect(names, owner);
      for (const [k, result] of results.entries()) {
        const file = task[k];
        if (file !== undefined) onResult(file, result);
      }
    }
  };
  // Two tasks per thread, so that the next one is at hand when a thread has finished.
  const queues = Array.from({ length: 2 * pool.workers }, nextTasks);
  const ends = await Promise.allSettled(queues);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
