/**
 * Tells how a data folder is laid out: class folders, or split folders (train, val, test) with class folders in them.
 * It refuses a folder that can be read in two ways, and names both.
 */

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { composed } from '../../common/text.js';
import type { LeftOut } from '../remarks.js';
import { FolderReader } from './folder-reader.js';
import { splitRole } from './split-names.js';
import {
  nameOf,
  noClassFolders,
  only,
  refuseFlat,
  refuseSplitsAsClasses,
  twoReadings,
  type Candidate,
  type Folders,
} from './split-refusals.js';
import { listFolder, reached, type Listing } from './walk-images.js';

/** A folder of class folders. */
export interface ClassesAt {
  readonly dir: string;
  /** Names of folders in it that are not classes. */
  readonly except: readonly string[];
}

/** Places of the parts of a data set. */
export interface DataLayout {
  /** Null if the folder has split folders and none is for training. */
  readonly train: ClassesAt | null;
  /** Folder of class folders; null if there is none. */
  readonly val: string | null;
  readonly test: string | null;
  /** Whether {@link train} is a split folder, and not the data folder itself. */
  readonly isSplit: boolean;
  /** Files and folders that belong to none of these. */
  readonly leftOut: readonly LeftOut[];
  /** The folders that were read, so that who opens the images need not read them again. */
  readonly reader?: FolderReader;
}

/**
 * Finds the split folders of a data folder.
 *
 * A folder with the name of a split is one if class folders are in it. If images are directly in it, it is a class of
 * that name, unless no other folder is a class or both train and val are so.
 *
 * @param classes the classes, if they are known: folders of just these names are classes.
 * @throws DatasetError if the folder cannot be read, or can be read in two ways.
 */
export async function findSplits(dir: string, classes?: readonly string[]): Promise<DataLayout> {
  const reader = new FolderReader();
  const folders = await look(dir, reader);
  return { ...(await layoutOf(folders, classes)), reader };
}

async function layoutOf(folders: Folders, classes?: readonly string[]): Promise<DataLayout> {
  const { dir, reader, candidates, others } = folders;
  const known = new Set(classes?.map(composed));
  const names = [...others, ...candidates.map(({ name }) => name)];
  const allKnown = classes !== undefined && names.every((name) => known.has(composed(name)));
  const isDeep = ({ hasImages, folders: below }: Candidate): boolean =>
    !hasImages || below.length > 0;
  const deep = candidates.filter(isDeep);
  if (deep.length === 0 || allKnown) {
    if (!allKnown) refuseFlat(folders);
    const { copies, leftOut } = await refuseSplitsAsClasses(dir, names, {
      reader,
      areKnown: allKnown,
    });
    return { train: { dir, except: copies }, val: null, test: null, isSplit: false, leftOut };
  }
  const train = only(folders, 'train');
  const val = only(folders, 'val');
  // An empty folder is a split without images only where nothing else can be a class.
  const isSplit = others.length === 0 || (val !== null && val.folders.length > 0);
  if (train !== null && isDeep(train) && (train.folders.length > 0 || isSplit)) {
    return splitLayout(folders, train, val);
  }
  if (others.length === 0) {
    if (train !== null) throw noClassFolders(dir, train);
    return { ...withoutTrain(folders, val), isSplit: true };
  }
  return besideClasses(folders, deep);
}

/** Sorts what lies in the data folder. */
async function look(dir: string, reader: FolderReader): Promise<Folders> {
  const list = (at: string): Promise<Listing> => listFolder(at, reader);
  const listing = await list(dir).catch(() => null);
  // A folder that cannot be read gets its error when its classes are listed.
  if (listing === null) return { dir, reader, candidates: [], others: [], leftOut: [] };
  const candidates: Candidate[] = [];
  const others: string[] = [];
  // Throws for the first one: a split may be behind it.
  for (const name of listing.deadLinks) {
    if (splitRole(name) !== null) await reached(path.join(dir, name), stat);
  }
  for (const name of listing.folders) {
    const role = splitRole(name);
    if (role === null) others.push(name);
    else {
      const { images, folders } = await reached(path.join(dir, name), list);
      candidates.push({ name, role, hasImages: images.length > 0, folders });
    }
  }
  const at = (name: string, reason: LeftOut['reason']): LeftOut => ({
    path: path.join(dir, name),
    reason,
  });
  const leftOut = [
    ...listing.leftOut,
    ...listing.images.map((name) => at(name, 'no-class')),
    ...listing.deadLinks.map((name) => at(name, 'not-image')),
  ];
  return { dir, reader, candidates, others, leftOut };
}

/** Returns the layout of a data folder whose `train` holds class folders. */
async function splitLayout(
  folders: Folders,
  train: Candidate,
  val: Candidate | null,
): Promise<DataLayout> {
  const { dir, reader, candidates, others } = folders;
  const at = (name: string): string => path.join(dir, name);
  if (val !== null && val.hasImages && val.folders.length === 0) throw noClassFolders(dir, val);
  const tests = candidates.filter(({ role }) => role === 'test');
  const hasTest = tests.some((test) => test.folders.length > 0);
  if (val === null && !hasTest) {
    const classes = await withImages(folders, others);
    // One folder of images beside it may be anything, such as images to classify.
    if (classes.length > (train.hasImages ? 0 : 1)) throw twoReadings(dir, train, classes);
  }
  const doubts = await refuseSplitsAsClasses(at(train.name), train.folders, { reader });
  const [test] = tests.filter((one) => one.folders.length > 0 || !one.hasImages);
  return {
    train: { dir: at(train.name), except: doubts.copies },
    val: val && at(val.name),
    test: test === undefined || tests.length > 1 ? null : at(test.name),
    isSplit: true,
    leftOut: [...folders.leftOut, ...doubts.leftOut, ...unused(dir, tests), ...beside(dir, others)],
  };
}

/** Returns the layout of split folders without one for training: `evaluate` can use it. */
function withoutTrain(folders: Folders, val: Candidate | null): Omit<DataLayout, 'isSplit'> {
  const { dir } = folders;
  const test = only(folders, 'test');
  for (const one of [val, test]) {
    if (one !== null && one.hasImages && one.folders.length === 0) throw noClassFolders(dir, one);
  }
  return {
    train: null,
    val: val && path.join(dir, val.name),
    test: test && path.join(dir, test.name),
    leftOut: [...folders.leftOut, ...(val && test ? unused(dir, [test]) : [])],
  };
}

/**
 * Returns the layout of class folders that lie beside split folders: `cat`, `dog` and `test/cat`, `test/dog`. A folder
 * of which no subfolder has the name of a class is a class itself, whose images lie deeper.
 */
async function besideClasses(folders: Folders, deep: readonly Candidate[]): Promise<DataLayout> {
  const { dir, reader, candidates, others } = folders;
  const classes = [...others, ...candidates.filter((one) => !deep.includes(one)).map(nameOf)];
  const known = new Set(classes.map(composed));
  const splits = deep.filter(({ folders: below }) =>
    below.some((name) => known.has(composed(name))),
  );
  const unsure = splits.find(
    ({ folders: below }) => !below.every((name) => known.has(composed(name))),
  );
  if (unsure !== undefined) throw twoReadings(dir, unsure, classes);
  const found = { ...folders, candidates: splits };
  const [val, test] = [only(found, 'val'), only(found, 'test')];
  const all = [...classes, ...deep.filter((one) => !splits.includes(one)).map(nameOf)];
  const doubts = await refuseSplitsAsClasses(dir, all, { reader });
  return {
    train: { dir, except: [...splits.map(nameOf), ...doubts.copies] },
    val: val && path.join(dir, val.name),
    test: test && path.join(dir, test.name),
    isSplit: false,
    leftOut: [...doubts.leftOut, ...(test === null ? [] : unused(dir, [test]))],
  };
}

function beside(dir: string, names: readonly string[]): LeftOut[] {
  return names.map((name) => ({ path: path.join(dir, name) + path.sep, reason: 'folder' }));
}

/** Returns the test folders, of which those without class folders cannot be evaluated. */
function unused(dir: string, tests: readonly Candidate[]): LeftOut[] {
  return tests.map(({ name, folders }) => ({
    path: path.join(dir, name) + path.sep,
    reason: folders.length > 0 ? 'test' : 'folder',
  }));
}

/** Returns the folders in which images lie directly. */
async function withImages({ dir, reader }: Folders, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const { images } = await reached(path.join(dir, name), (at) => listFolder(at, reader));
    if (images.length > 0) found.push(name);
  }
  return found;
}
