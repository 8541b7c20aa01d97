/** Refuses data folders that can be read in two ways, and says how to make them clear. */

import path from 'node:path';
import { DatasetError } from '../../common/errors.js';
import { listSome } from '../../common/format.js';
import { composed } from '../../common/text.js';
import type { LeftOut } from '../remarks.js';
import { classContent, copiesAmong, holdSame, type ClassContent } from './class-content.js';
import type { FolderReader } from './folder-reader.js';
import { possibleRole, splitRole, type SplitRole } from './split-names.js';

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
  readonly reader: FolderReader;
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

/** Findings about class folders that were not refused. */
export interface ClassDoubts {
  /** Folders that hold folders with the names of their siblings: copies of the data, and not classes. */
  readonly copies: readonly string[];
  /** Remarks about these, and about class folders that all hold the same folders, which may be the classes. */
  readonly leftOut: readonly LeftOut[];
}

/**
 * Refuses to take split folders for classes: `a/train` and `a/val` for the class a, `train2017` and `val2017` for the
 * classes of these names. Folders that hold nothing but one folder are looked through.
 *
 * In a folder that is itself called `train`, only the plain names of splits count: `test tube` is a class there.
 *
 * @param names class folders of `dir`.
 * @param options.areKnown whether these are known to be classes, so that their names say nothing. Default: no.
 * @throws DatasetError naming them, and the folder to give or the names to use.
 */
export async function refuseSplitsAsClasses(
  dir: string,
  names: readonly string[],
  { reader, areKnown = false }: { readonly reader: FolderReader; readonly areKnown?: boolean },
): Promise<ClassDoubts> {
  const isPlain = splitRole(path.basename(path.resolve(dir))) === null;
  const roleOf = isPlain ? possibleRole : splitRole;
  const found: ClassContent[] = [];
  for (const name of names) {
    const content = await classContent(dir, name, reader);
    refuseInner(dir, content, roleOf);
    found.push(content);
  }
  refuseTwins(dir, found, roleOf);
  if (areKnown) return { copies: [], leftOut: [] };
  if (isPlain && areSplitNames(names)) throw splitNames(dir, names.filter(roleOf));
  const copies = copiesAmong(found);
  const kept = found.filter(({ name }) => !copies.includes(name));
  const remark = (name: string, reason: LeftOut['reason']): LeftOut => ({
    path: path.join(dir, name) + path.sep,
    reason,
  });
  return {
    copies,
    leftOut: [
      ...copies.map((name) => remark(name, 'copy')),
      ...(holdSame(kept) ? kept.map(({ name }) => remark(name, 'same-folders')) : []),
    ],
  };
}

type RoleOf = (name: string) => SplitRole | null;

/** Returns whether names of a split for training and of another split are among these. */
function hasBothRoles(names: readonly string[], roleOf: RoleOf): boolean {
  const roles = new Set(names.map(roleOf));
  return roles.has('train') && (roles.has('val') || roles.has('test'));
}

/**
 * Returns whether names that only resemble those of splits make splits of these folders. The plain names do not: `bus`,
 * `train` and `test` may be classes, and {@link refuseFlat} has refused `train` and `val`.
 */
function areSplitNames(names: readonly string[]): boolean {
  const arePlain = names.every((name) => possibleRole(name) === splitRole(name));
  return !arePlain && hasBothRoles(names, possibleRole);
}

/** @throws DatasetError if split folders lie in a folder that was taken for a class. */
function refuseInner(dir: string, { levels }: ClassContent, roleOf: RoleOf): void {
  const level = levels.find(({ folders }) => hasBothRoles(folders, roleOf));
  if (level === undefined) return;
  const splits = level.folders.filter(roleOf);
  throw new DatasetError(
    `expected class folders in ${dir}, found split folders (${quoted(splits)}) in ${level.dir}; ` +
      `give that folder, or arrange the images as ${path.join(dir, 'train', 'CLASS', 'IMAGE.jpg')}`,
  );
}

/** @throws DatasetError if a folder that may be a split holds the same folders as another one. */
function refuseTwins(dir: string, found: readonly ClassContent[], roleOf: RoleOf): void {
  const contents = found.flatMap(({ name, levels }) => {
    const folders = new Set(levels.flatMap((level) => level.folders.map(composed)));
    return folders.size === 0 || levels[0]?.hasImages === true ? [] : [{ name, folders }];
  });
  for (const { name, folders } of contents) {
    if (roleOf(name) === null) continue;
    const twin = contents.find((other) => {
      const common = [...other.folders].filter((one) => folders.has(one)).length;
      return other.name !== name && common > (roleOf(other.name) === null ? 1 : 0);
    });
    if (twin === undefined) continue;
    throw new DatasetError(
      `expected class folders in ${dir}, found ${quoted([name, twin.name])}, which hold the same folders and ` +
        'seem to be splits; rename them to train, val and test, with the class folders directly in them; ' +
        `if they are classes, move all of them into ${path.join(dir, 'train')}`,
    );
  }
}

function splitNames(dir: string, names: readonly string[]): DatasetError {
  return new DatasetError(
    `expected class folders in ${dir}, found ${quoted(names)}, which by their names are either splits or classes; ` +
      `for splits arrange the images as ${path.join(dir, 'train', 'CLASS', 'IMAGE.jpg')} (and so in val and test), ` +
      `for classes move all of them into ${path.join(dir, 'train')}`,
  );
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
