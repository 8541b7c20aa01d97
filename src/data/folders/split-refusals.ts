/** Refuses data folders that can be read in two ways, and says how to make them clear. */

import path from 'node:path';
import { DatasetError } from '../../common/errors.js';
import { listSome } from '../../common/format.js';
import { composed } from '../../common/text.js';
import type { LeftOut } from '../remarks.js';
import { possibleRole, splitRole, type SplitRole } from './split-names.js';
import { listFolder, reached } from './walk-images.js';

/** A folder in the data folder, and what lies directly in it. */
export interface Candidate {
  readonly name: string;
  readonly role: SplitRole;
  readonly hasImages: boolean;
  readonly folders: readonly string[];
}

/** Folders in the data folder, by their names. */
export interface Folders {
  readonly dir: string;
  readonly candidates: readonly Candidate[];
  /** Folders that do not have the name of a split. */
  readonly others: readonly string[];
  /** Files beside them. */
  readonly leftOut: readonly LeftOut[];
}

/** Returns the folder of a split; null if there is none. @throws DatasetError if several folders have such a name. */
export function only({ dir, candidates }: Folders, role: SplitRole): Candidate | null {
  const found = candidates.filter((one) => one.role === role);
  const [first = null, second] = found;
  if (second === undefined) return first;
  const purpose = { train: 'training', val: 'validation', test: 'testing' }[role];
  throw new DatasetError(
    `expected one folder for ${purpose} in ${dir}, found ${quotedNames(found)}; ` +
      'join them, or rename those that are not to be used',
  );
}

/** @throws DatasetError if folders with the names of splits, and images directly in them, cannot be classes. */
export function refuseFlat({ dir, candidates, others }: Folders): void {
  const [first] = candidates;
  if (first === undefined) return;
  const has = (role: SplitRole): boolean => candidates.some((one) => one.role === role);
  const both = has('train') && has('val');
  if (candidates.length === 1 && others.length === 0) throw noClassFolders(dir, first);
  if (!both && others.length > 0) return;
  throw new DatasetError(
    `expected class folders in ${dir}, found images directly in ${quotedNames(candidates)}, which are either ` +
      `splits without class folders or classes of these names; for splits make ${path.join(dir, first.name, 'CLASS', 'IMAGE.jpg')}, ` +
      `for classes move the folders into ${path.join(dir, 'train')}`,
  );
}

/**
 * Refuses to take split folders for classes: `a/train` and `a/val` for the class a, `train2017` and `val2017` for the
 * classes of these names.
 *
 * @param names class folders of `dir`.
 * @returns class folders that all hold the same folders, which may be the classes.
 * @throws DatasetError naming them, and the folder to give or the names to use.
 */
export async function refuseSplitsAsClasses(
  dir: string,
  names: readonly string[],
): Promise<LeftOut[]> {
  const below = new Map<string, { readonly folders: readonly string[]; readonly flat: boolean }>();
  for (const name of names) {
    const listing = await reached(path.join(dir, name), listFolder);
    below.set(name, { folders: listing.folders, flat: listing.images.length > 0 });
    const roles = new Set(listing.folders.map(splitRole));
    if (!roles.has('train') || !(roles.has('val') || roles.has('test'))) continue;
    const splits = listing.folders.filter((one) => splitRole(one) !== null);
    throw new DatasetError(
      `expected class folders in ${dir}, found split folders (${quoted(splits)}) in ${path.join(dir, name)}; ` +
        `give that folder, or arrange the images as ${path.join(dir, 'train', 'CLASS', 'IMAGE.jpg')}`,
    );
  }
  await refuseTwins(
    dir,
    [...below].flatMap(([name, { folders, flat }]) => (flat ? [] : [{ name, folders }])),
  );
  const contents = new Set(
    [...below.values()].map(({ folders, flat }) => {
      return flat || folders.length < 2 ? '' : folders.map(composed).sort().join('/');
    }),
  );
  if (names.length < 2 || contents.size > 1 || contents.has('')) return [];
  return names.map((name) => ({ path: path.join(dir, name) + path.sep, reason: 'same-folders' }));
}

/**
 * In a folder that is itself called `train`, only the plain names of splits count: `test tube` is a class there.
 *
 * @throws DatasetError if a folder that may be a split holds the same folders as another one.
 */
async function refuseTwins(
  dir: string,
  deep: readonly Pick<Candidate, 'name' | 'folders'>[],
): Promise<void> {
  const roleOf = splitRole(path.basename(path.resolve(dir))) === null ? possibleRole : splitRole;
  if (!deep.some(({ name }) => roleOf(name) !== null)) return;
  const contents = new Map<string, ReadonlySet<string>>();
  for (const { name, folders } of deep) {
    const inner = await inOnlyFolder(path.join(dir, name), folders);
    contents.set(name, new Set([...folders, ...inner].map(composed)));
  }
  for (const [name, own] of contents) {
    if (roleOf(name) === null) continue;
    const twin = [...contents].find(([other, found]) => {
      const common = [...found].filter((one) => own.has(one)).length;
      return other !== name && common > (roleOf(other) === null ? 1 : 0);
    });
    if (twin === undefined) continue;
    throw new DatasetError(
      `expected class folders in ${dir}, found ${quoted([name, twin[0]])}, which hold the same folders and ` +
        'seem to be splits; rename them to train, val and test, with the class folders directly in them; ' +
        `if they are classes, move all of them into ${path.join(dir, 'train')}`,
    );
  }
}

/** Returns the folders in a folder's only folder, as archives have it: `seg_train/seg_train/CLASS`. */
async function inOnlyFolder(dir: string, folders: readonly string[]): Promise<readonly string[]> {
  const [only, second] = folders;
  if (only === undefined || second !== undefined) return [];
  return (await reached(path.join(dir, only), listFolder)).folders;
}

export function noClassFolders(dir: string, { name, hasImages, role }: Candidate): DatasetError {
  const found = hasImages ? 'images directly in it' : 'none';
  return new DatasetError(
    `expected class folders in ${path.join(dir, name)}, found ${found}; the layout is ` +
      `${path.join(dir, name, 'CLASS', 'IMAGE.jpg')}; if "${name}" is a class, put it beside other classes` +
      (role === 'train' ? '' : ' of the training set'),
  );
}

export function twoReadings(
  dir: string,
  split: Candidate,
  classes: readonly string[],
): DatasetError {
  return new DatasetError(
    `expected split folders or class folders in ${dir}, found "${split.name}" with folders in it (${quoted(split.folders)}) ` +
      `beside folders of images (${quoted(classes)}); if "${split.name}" is a class, move all of them into ` +
      `${path.join(dir, 'train')}; if it is the ${split.role} split, move the others elsewhere`,
  );
}

function quotedNames(found: readonly Candidate[]): string {
  return quoted(found.map(nameOf));
}

function quoted(names: readonly string[]): string {
  return listSome(names.map((name) => `"${name}"`));
}

/** Returns the name of a folder. */
export function nameOf({ name }: Candidate): string {
  return name;
}
