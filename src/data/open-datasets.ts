/** Opens the two data sets of a run: checks every image, and the sets against each other. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageFolder } from './folders/image-folder.js';
import type { DataFile, Dataset } from './dataset.js';
import { BadImagesError, DatasetError, type BadImage } from '../common/errors.js';
import type { CheckedEvent, DataRemark, OrientedImages, TrainEvent } from '../common/events.js';
import { blankWarnings, type BlankImage } from '../images/blank.js';
import type { LoaderPool } from '../images/workers/worker-pool.js';
import type { ExifUse } from '../platform/platform.js';
import { checkImages } from './check-images.js';
import { splitFolder } from './folders/train-val-split.js';
import { groupRemarks, withBroken, type LeftOut } from './remarks.js';
import { findSplits, type DataLayout } from './folders/split-folders.js';
import { RULES, type WalkRules } from './folders/walk-rules.js';
import { resolveClassWeights } from './class-weights.js';
import { duplicateWarnings } from './duplicates.js';
import { dataFingerprint, type FingerprintedData } from './fingerprint.js';

type Split = 'train' | 'val';

/** Which data sets to open, and how. */
export interface DataOptions {
  /** Data folder; needed unless both data sets are given. */
  readonly data?: string;
  /** Used in place of the data folder's training images. */
  readonly trainDataset?: Dataset;
  /** Used in place of the data folder's validation images. */
  readonly valDataset?: Dataset;
  /** Share of each class that is validated on if there is no folder for it, 0 to 1. */
  readonly valFraction: number;
  /** Whether broken images end the run or are left out. */
  readonly onBadImage: 'stop' | 'skip';
  /** `none`, `auto` or a JSON file; see {@link resolveClassWeights}. */
  readonly classWeights: string;
  /** Use of the EXIF orientation of the images. */
  readonly exif: ExifUse;
  /** Ends the check of the images when it aborts. */
  readonly signal?: AbortSignal;
  /** Rules of another version. Default: those of docs/data.md. */
  readonly rules?: DataRules;
}

/** Which images are found in a data folder. */
export interface DataRules {
  readonly walk: WalkRules;
  readonly layout: (data: string) => DataLayout | Promise<DataLayout>;
}

/** The data of a run, checked. */
export interface RunData extends FingerprintedData {
  readonly classes: readonly string[];
  /** {@link dataFingerprint} of all this. */
  readonly fingerprint: string;
  /** Broken images that are left out. */
  readonly skipped: readonly BadImage[];
  readonly exif: OrientedImages;
  /** All that is left out, these images included, or used in an unexpected way. */
  readonly remarks: readonly DataRemark[];
}

/**
 * Opens the data sets of a run and checks every image of the folders. The images of data sets in code are not checked.
 *
 * @throws BadImagesError naming every broken image, unless they are to be left out.
 * @throws DatasetError if there is nothing to train on, or the two sets do not fit together.
 */
export async function openData(
  options: DataOptions,
  pool: LoaderPool,
  emit: (event: TrainEvent) => void,
): Promise<RunData> {
  const sets = await openSets(options, emit);
  const { classes } = sets.train;
  checkPair(sets.train, sets.val);
  const found = await checkFolders(sets, options, { pool, emit });
  const classWeights = await resolveClassWeights(options.classWeights, found.train, (file) =>
    readFile(file),
  );
  const data = { ...found, classWeights };
  return { ...data, classes, fingerprint: dataFingerprint(data) };
}

/** The two data sets, and what the data folder holds beside them. */
interface OpenSets extends Readonly<Record<Split, Dataset>> {
  readonly leftOut: readonly LeftOut[];
}

/**
 * Opens the training and the validation images of the data folder. If it has no folder for validation, the training
 * images are split.
 */
async function openSets(
  options: DataOptions,
  emit: (event: TrainEvent) => void,
): Promise<OpenSets> {
  const { data = '', trainDataset, valDataset, valFraction } = options;
  if (trainDataset !== undefined && valDataset !== undefined) {
    return { train: trainDataset, val: valDataset, leftOut: [] };
  }
  const { walk, layout: layoutOf } = options.rules ?? { walk: RULES, layout: findSplits };
  const layout = await layoutOf(data);
  const { leftOut } = layout;
  const train = trainDataset ?? (await openTraining(data, layout, walk));
  const { classes } = train;
  if (valDataset !== undefined) return { train, val: valDataset, leftOut };
  if (layout.val !== null || !(train instanceof ImageFolder) || trainDataset !== undefined) {
    const dir = layout.val ?? path.join(data, 'val');
    return { train, val: await ImageFolder.openBy(walk, dir, { classes }, layout.reader), leftOut };
  }
  const sets = splitFolder(train, valFraction);
  const message =
    `no ${path.join(data, 'val')}: ${sets.val.length} images of ${train.dir} are for validation and not trained on ` +
    '(listed in validation.txt)';
  emit({ type: 'warning', message });
  return { ...sets, leftOut };
}

async function openTraining(
  data: string,
  { train, val, test, reader }: DataLayout,
  walk: WalkRules,
): Promise<ImageFolder> {
  if (train !== null) return ImageFolder.openBy(walk, train.dir, train, reader);
  const found = [val, test].flatMap((dir) => (dir === null ? [] : [`"${path.basename(dir)}"`]));
  throw new DatasetError(
    `expected a folder of training images (train) in ${data}, found only ${found.join(', ')}; ` +
      `the layout is ${path.join(data, 'train', 'CLASS', 'IMAGE.jpg')}`,
  );
}

function checkPair(train: Dataset, val: Dataset): void {
  const { classes } = train;
  if (classes.length < 2) {
    throw new DatasetError(
      `expected at least 2 classes, got ${classes.length}; a classifier needs something to tell apart`,
    );
  }
  if (train.length === 0 || val.length === 0) {
    throw new DatasetError(
      `expected images to train and to validate on, got ${train.length} and ${val.length}; add some`,
    );
  }
  if (val.classes.join('\0') !== classes.join('\0')) {
    throw new DatasetError(
      `expected the validation set's classes to be the training set's (${classes.join(', ')}), ` +
        `got ${val.classes.join(', ')}; give both sets the same list`,
    );
  }
}

type CheckedData = Omit<RunData, 'classes' | 'classWeights' | 'fingerprint'> & {
  readonly files: DataFile[];
};

interface Folder {
  readonly split: Split;
  readonly folder: ImageFolder;
}

/** Checks the images of both folders. Returns the sets without broken images, unless these end the run. */
async function checkFolders(
  sets: OpenSets,
  options: DataOptions,
  { pool, emit }: { readonly pool: LoaderPool; readonly emit: (event: TrainEvent) => void },
): Promise<CheckedData> {
  const kept = { train: sets.train, val: sets.val };
  const files: DataFile[] = [];
  const shown = new Map<string, string>();
  const bad: BadImage[] = [];
  const blank: BlankImage[] = [];
  let [cached, oriented] = [0, 0];
  const folders = (['train', 'val'] as const).flatMap((split): Folder[] => {
    const folder = sets[split];
    return folder instanceof ImageFolder ? [{ split, folder }] : [];
  });
  const total = folders.reduce((sum, { folder }) => sum + folder.length, 0);
  let before = 0;
  for (const { split, folder } of folders) {
    const onProgress = (done: number): void => {
      emit({ type: 'preflight', done: before + done, total });
    };
    const result = await checkImages(folder, pool, { onProgress, signal: options.signal });
    before += folder.length;
    cached += result.cached;
    oriented += result.oriented;
    for (const [file, sha256] of result.hashes) {
      const name = slashed(path.join(split, path.relative(folder.dir, file)));
      files.push({ name, sha256 });
      if (options.data !== undefined) shown.set(name, slashed(path.relative(options.data, file)));
    }
    bad.push(...result.bad);
    blank.push(...result.blank);
    kept[split] = folder.without(new Set(result.bad.map((image) => image.path)));
  }
  const { skipped, remarks } = remarksOf(sets.leftOut, folders, bad, options.data);
  for (const remark of remarks) {
    // The event `checked` names the broken images.
    if (remark.reason !== 'broken') emit({ type: 'warning', ...remark });
  }
  if (skipped.length > 0 && options.onBadImage === 'stop') throw new BadImagesError(skipped);
  const exif = { images: oriented, use: options.exif };
  if (folders.length > 0) {
    const classes = imagesPerClass(kept);
    emit({ type: 'checked', classes, known: cached, skipped, exif });
    checkNotEmpty(kept, classes);
  }
  const warnings = [
    ...ignoredOrientations(exif, files.length),
    ...blankWarnings(blank, files.length),
    ...duplicateWarnings(files, shown),
  ];
  for (const message of warnings) emit({ type: 'warning', message });
  return { ...kept, files, skipped, exif, remarks };
}

/** Returns a path with slashes on every system. */
function slashed(name: string): string {
  return name.split(path.sep).join('/');
}

/** Says that images are seen lying on their side, unless they are turned or there are none. */
function ignoredOrientations({ images, use }: OrientedImages, total: number): string[] {
  if (use === 'apply' || images === 0) return [];
  const have = images === 1 ? 'has' : 'have';
  return [
    `${images} of ${total} images ${have} an EXIF orientation, which is ignored as torchvision does; ` +
      `--exif apply turns ${images === 1 ? 'it' : 'them'}`,
  ];
}

/**
 * Returns the broken images, and the remarks about them and all else that is left out. A broken file that was taken
 * for an image by its first bytes only is not an image; it is not worth stopping for.
 */
function remarksOf(
  leftOut: readonly LeftOut[],
  folders: readonly Folder[],
  bad: readonly BadImage[],
  data = folders[0]?.folder.dir ?? '',
): Pick<CheckedData, 'skipped' | 'remarks'> {
  const broken = new Set(bad.map((image) => image.path));
  const unsure = new Set(folders.flatMap(({ folder }) => folder.byContent));
  const skipped = bad.filter((image) => !unsure.has(image.path));
  const found = folders.flatMap(({ folder }) => folder.leftOut);
  const remarks = groupRemarks(data, [
    ...leftOut,
    ...withBroken(found, broken),
    ...skipped.map((image): LeftOut => ({ path: image.path, reason: 'broken' })),
  ]);
  return { skipped, remarks };
}

/** Returns the number of images of each class; 0 for those of data sets in code. */
function imagesPerClass({ train, val }: Readonly<Record<Split, Dataset>>): CheckedEvent['classes'] {
  const count = (dataset: Dataset): number[] => {
    const numbers = dataset.classes.map(() => 0);
    if (!(dataset instanceof ImageFolder)) return numbers;
    for (const { label } of dataset.samples) numbers[label] = (numbers[label] ?? 0) + 1;
    return numbers;
  };
  const [trained, validated] = [count(train), count(val)];
  return train.classes.map((name, label) => ({
    name,
    train: trained[label] ?? 0,
    val: validated[label] ?? 0,
  }));
}

/** @throws DatasetError if a class, or the validation set, lost all its images because they are broken. */
function checkNotEmpty(
  { train, val }: Readonly<Record<Split, Dataset>>,
  classes: CheckedEvent['classes'],
): void {
  const empty = train instanceof ImageFolder && classes.find((one) => one.train === 0);
  if (!empty && val.length > 0) return;
  const where = empty ? `training of class ${empty.name}` : 'validation';
  throw new DatasetError(
    `expected readable images for ${where}, found that every one is broken; add good ones`,
  );
}
