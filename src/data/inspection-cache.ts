/** Results of earlier checks of image files that have not changed since. */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { sweepAbandoned, writeFileAtomic } from '../common/node/atomic-file.js';
import { makeFolder } from '../common/node/make-folder.js';
import type { Inspection } from '../images/workers/worker-messages.js';
import type { ExifUse } from '../platform/platform.js';
import { cacheFolder } from '../common/node/cache-folder.js';

/** Version of the check; raise it when the same bytes may get another result than before. */
const CHECK_VERSION = 7;

/**
 * A file's size in bytes, and the times in nanoseconds when its content and its inode last changed. Programs can set the
 * former back, but not the latter.
 */
export interface FileStamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** `stamp` is the text of {@link stampText}. */
type Entry = readonly [stamp: string, inspection: Inspection];

/** Cache of the images of one folder: a file in the user's cache folder. */
export class InspectionCache {
  readonly #entries: Map<string, Entry>;
  #changed = false;

  private constructor(
    private readonly dir: string,
    private readonly file: string,
    entries: Iterable<readonly [string, Entry]>,
  ) {
    this.#entries = new Map(entries);
  }

  /**
   * Opens the cache of a folder. A cache file that is missing or damaged counts as empty.
   *
   * @param exif use of the EXIF orientation in the check: a large image may be readable only as it is stored.
   */
  static async open(dir: string, exif: ExifUse, cache = cacheFolder()): Promise<InspectionCache> {
    const absolute = path.resolve(dir);
    const name = createHash('sha256').update(absolute).digest('hex').slice(0, 32);
    const file = path.join(cache, 'images', `${name}${exif === 'apply' ? '-turned' : ''}.json`);
    const text = await readFile(file, 'utf8').catch(() => '');
    return new InspectionCache(absolute, file, parse(text, absolute));
  }

  /** Returns the cached result of a file; null if there is none, or if the file has changed. */
  get(file: string, stamp: FileStamp): Inspection | null {
    const entry = this.#entries.get(this.#key(file));
    return entry?.[0] === stampText(stamp) ? entry[1] : null;
  }

  /** Stores the result of a file. */
  set(file: string, stamp: FileStamp, inspection: Inspection): void {
    // Do not cache read errors: they may disappear without a change of size or mtime.
    if (inspection.sha256 === null) return;
    this.#changed = true;
    this.#entries.set(this.#key(file), [stampText(stamp), inspection]);
  }

  /**
   * Writes the cache without deleted files. Write errors are ignored: the images are then checked again.
   *
   * @param files the files that were checked. The folder may have more if it is split for training and validation.
   */
  async save(files: readonly string[]): Promise<void> {
    if (!this.#changed) return;
    const seen = new Set(files.map((file) => this.#key(file)));
    const exists = (key: string): boolean => seen.has(key) || existsSync(path.join(this.dir, key));
    const entries = [...this.#entries].filter(([key]) => exists(key));
    const content = { version: VERSION, dir: this.dir, entries: Object.fromEntries(entries) };
    const folder = path.dirname(this.file);
    try {
      await makeFolder(folder);
      await sweepAbandoned(folder, () => true);
      await writeFileAtomic(this.file, JSON.stringify(content));
    } catch {
      // Without a cache, the next run checks these images again.
    }
  }

  #key(file: string): string {
    return path.relative(this.dir, path.resolve(file));
  }
}

function stampText({ size, mtimeNs, ctimeNs }: FileStamp): string {
  return `${size} ${mtimeNs} ${ctimeNs}`;
}

/** Includes the decoder's version, because another decoder may refuse other files. */
const VERSION = `${CHECK_VERSION} ${sharp.versions.sharp} ${sharp.versions.vips}`;

function parse(text: string, dir: string): [string, Entry][] {
  try {
    const content = JSON.parse(text) as { version: unknown; dir: unknown; entries: object };
    if (content.version !== VERSION || content.dir !== dir) return [];
    return Object.entries(content.entries).filter((item): item is [string, Entry] =>
      isEntry(item[1]),
    );
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is Entry {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [stamp, inspection] = value as unknown[];
  if (typeof stamp !== 'string') return false;
  if (typeof inspection !== 'object' || inspection === null) return false;
  const { sha256, problem, orientation, blank } = inspection as Record<string, unknown>;
  return (
    typeof sha256 === 'string' &&
    [problem, blank].every((text) => text === null || typeof text === 'string') &&
    (orientation === null || typeof orientation === 'number')
  );
}
