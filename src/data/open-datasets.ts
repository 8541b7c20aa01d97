/** Opens the two data sets of a run: checks every image, and the sets against each other. */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isFolder } from '../common/paths.js';
import { ImageFolder } from './image-folder.js';
import type { DataFile, Dataset } from './dataset.js';
import { BadImagesError, DatasetError, type BadImage } from '../common/errors.js';
import type { CheckedEvent, OrientedImages, TrainEvent } from '../common/events.js';
import type { LoaderPool } from '../images/worker-pool.js';
import type { ExifUse } from '../platform/platform.js';
import { checkImages } from './check-images.js';
import { splitFolder } from './train-val-split.js';
import { resolveClassWeights } from './class-weights.js';
import { duplicateWarnings } from './duplicates.js';
import { dataFingerprint, type FingerprintedData } from './fingerprint.js';

type Split = 'train' | 'val';

/** Which data sets to open, and how. */
export interface DataOptions {
  /** Data folder; needed unless both data sets are given. */
  readonly data?: string;
  /** Used in place of `data/train`. */
  readonly trainDataset?: Dataset;
  /** Used in place of `data/val`. */
  readonly valDataset?: Dataset;
  /** Share of each class that is validated on if there is no `val` folder, 0 to 1. */
  readonly valFraction: number;
  /** Whether broken images end the run or are left out. */
  readonly onBadImage: 'stop' | 'skip';
  /** `none`, `auto` or a JSON file; see {@link resolveClassWeights}. */
  readonly classWeights: string;
  /** Use of the EXIF orientation of the images. */
  readonly exif: ExifUse;
  /** Ends the check of the images when it aborts. */
  readonly signal?: AbortSignal;
}

/** The data of a run, checked. */
export interface RunData extends FingerprintedData {
  readonly classes: readonly string[];
  /** {@link dataFingerprint} of all this. */
  readonly fingerprint: string;
  /** Broken images that are left out. */
  readonly skipped: readonly BadImage[];
  readonly exif: OrientedImages;
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
  const { train, val } = await openSets(options, emit);
  const { classes } = train;
  checkPair(train, val);
  const found = await checkFolders({ train, val }, options, { pool, emit });
  const classWeights = await resolveClassWeights(options.classWeights, found.train, (file) =>
    readFile(file),
  );
  const data = { ...found, classWeights };
  return { ...data, classes, fingerprint: dataFingerprint(data) };
}

/** Opens DIR/train and DIR/val. Without DIR/val it splits DIR/train, or DIR itself. */
async function openSets(
  options: DataOptions,
  emit: (event: TrainEvent) => void,
): Promise<Record<Split, Dataset>> {
  const { data = '', trainDataset, valDataset, valFraction } = options;
  const folder = (name: Split): string => path.join(data, name);
  if (trainDataset === undefined && valDataset === undefined && !isFolder(folder('val'))) {
    const dir = isFolder(folder('train')) ? folder('train') : data;
    const sets = splitFolder(await ImageFolder.open(dir), valFraction);
    const message =
      `no ${folder('val')}: ${sets.val.length} images of ${dir} are for validation and not trained on ` +
      '(listed in validation.txt)';
    emit({ type: 'warning', message });
    return sets;
  }
  const train = trainDataset ?? (await ImageFolder.open(folder('train')));
  const { classes } = train;
  return { train, val: valDataset ?? (await ImageFolder.open(folder('val'), { classes })) };
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

interface CheckedData {
  readonly train: Dataset;
  readonly val: Dataset;
  readonly files: DataFile[];
  readonly skipped: BadImage[];
  readonly exif: OrientedImages;
}

/** Checks the images of both folders. Returns the sets without broken images, unless these end the run. */
async function checkFolders(
  sets: Readonly<Record<Split, Dataset>>,
  { onBadImage, signal, exif: use }: DataOptions,
  { pool, emit }: { readonly pool: LoaderPool; readonly emit: (event: TrainEvent) => void },
): Promise<CheckedData> {
  const kept = { ...sets };
  const files: DataFile[] = [];
  const skipped: BadImage[] = [];
  let [cached, oriented] = [0, 0];
  const folders = (['train', 'val'] as const).flatMap((split) => {
    const folder = sets[split];
    return folder instanceof ImageFolder ? [{ split, folder }] : [];
  });
  const total = folders.reduce((sum, { folder }) => sum + folder.length, 0);
  let before = 0;
  for (const { split, folder } of folders) {
    for (const message of folder.remarks) emit({ type: 'warning', message });
    const onProgress = (done: number): void => {
      emit({ type: 'preflight', done: before + done, total });
    };
    const result = await checkImages(folder, pool, { onProgress, signal });
    before += folder.length;
    cached += result.cached;
    oriented += result.oriented;
    skipped.push(...result.bad);
    for (const [file, sha256] of result.hashes) {
      const name = path.join(split, path.relative(folder.dir, file));
      files.push({ name: name.split(path.sep).join('/'), sha256 });
    }
    kept[split] = folder.without(new Set(result.bad.map((image) => image.path)));
  }
  if (skipped.length > 0 && onBadImage === 'stop') throw new BadImagesError(skipped);
  const exif = { images: oriented, use };
  if (folders.length > 0) {
    const classes = imagesPerClass(kept);
    emit({ type: 'checked', classes, known: cached, skipped, exif });
    checkNotEmpty(kept, classes);
  }
  const warnings = [...ignoredOrientations(exif, files.length), ...duplicateWarnings(files)];
  for (const message of warnings) emit({ type: 'warning', message });
  return { ...kept, files, skipped, exif };
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
