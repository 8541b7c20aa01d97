/**
 * The look through the images before the first step: every file is read and decoded to its end, in the
 * loader's threads, so that a broken one shows now and not hours later.
 */

import { stat } from 'node:fs/promises';
import type { ImageFolder } from './dataset.js';
import { decodeProblem } from '../images/decode.js';
import type { BadImage } from '../common/errors.js';
import { InspectionCache, type FileStamp } from './inspection-cache.js';
import type { LoaderPool } from '../images/worker-pool.js';
import type { Inspection } from '../images/worker-messages.js';

/** Images a thread looks through before it reports. */
const FILES_PER_TASK = 4;
const STATS_AT_ONCE = 64;

export interface PreflightOptions {
  /** Cache folder; default: the user's. */
  readonly cache?: string;
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the look with its reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** What was found in one folder. */
export interface Preflight {
  /** SHA-256 of each good file's bytes, by path, in the order of the samples. */
  readonly hashes: ReadonlyMap<string, string>;
  /** In the order of the samples. */
  readonly bad: readonly BadImage[];
  /** How many were known from an earlier look. */
  readonly known: number;
}

interface Pending {
  readonly file: string;
  readonly stamp: FileStamp;
}

export async function checkImages(
  folder: ImageFolder,
  pool: LoaderPool,
  { cache, onProgress, signal }: PreflightOptions = {},
): Promise<Preflight> {
  const files = folder.samples.map(({ image }) => image);
  const store = await InspectionCache.open(folder.dir, cache);
  const found = new Map<string, Inspection>();
  const pending: Pending[] = [];
  let knownCount = 0;
  for (let i = 0; i < files.length; i += STATS_AT_ONCE) {
    signal?.throwIfAborted();
    const some = files.slice(i, i + STATS_AT_ONCE);
    const stamps = await Promise.all(some.map(stampOf));
    for (const [k, file] of some.entries()) {
      const stamp = stamps[k];
      const known = typeof stamp === 'object' ? store.get(file, stamp) : null;
      if (typeof stamp === 'string') found.set(file, { sha256: null, problem: stamp });
      else if (known !== null) {
        found.set(file, known);
        knownCount++;
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
    // What has been looked through need not be again, even if the rest was not.
    await store.save(files);
  }
  const hashes = new Map<string, string>();
  const bad: BadImage[] = [];
  for (const file of files) {
    const { sha256, problem } = found.get(file) ?? { sha256: null, problem: 'nothing' };
    if (sha256 !== null && problem === null) hashes.set(file, sha256);
    else bad.push({ path: file, reason: problem ?? 'unreadable' });
  }
  return { hashes, bad, known: knownCount };
}

/** What tells a file from its earlier self, or why it is none. Reading a pipe would never end. */
async function stampOf(file: string): Promise<FileStamp | string> {
  try {
    const found = await stat(file, { bigint: true });
    return found.isFile() ? found : 'no regular file';
  } catch (cause) {
    return decodeProblem(cause);
  }
}

async function inspectAll(
  pending: readonly Pending[],
  pool: LoaderPool,
  signal: AbortSignal | undefined,
  onResult: (of: Pending, inspection: Inspection) => void,
): Promise<void> {
  const owner = {};
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < pending.length) {
      signal?.throwIfAborted();
      const task = pending.slice(next, next + FILES_PER_TASK);
      next += FILES_PER_TASK;
      const names = task.map(({ file }) => file);
      const results = await pool.inspect(names, owner);
      for (const [k, result] of results.entries()) {
        const of = task[k];
        if (of !== undefined) onResult(of, result);
      }
    }
  };
  // Two tasks for each thread: one under way, one at hand.
  const lanes = Array.from({ length: 2 * pool.workers }, lane);
  const ends = await Promise.allSettled(lanes);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
