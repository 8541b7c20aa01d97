/** The two data sets of a run: looked through, checked against each other, and told from others by a hash. */

import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import path from 'node:path';
import type { ResolvedOptions } from '../config/train-options.js';
import { ImageFolder, type Dataset } from './dataset.js';
import { BadImagesError, DatasetError, type BadImage } from '../common/errors.js';
import type { TrainEvent } from '../common/events.js';
import type { LoaderPool } from '../images/worker-pool.js';
import { checkImages } from './check-images.js';
import { splitFolder } from './train-val-split.js';
import { resolveClassWeights } from '../train/loss-targets.js';
import { listSome } from '../common/format.js';

type Split = 'train' | 'val';

/** One image file of the data folder. */
export interface DataFile {
  /** Path in the data folder, with slashes. */
  readonly name: string;
  /** Of its bytes, in hexadecimal. */
  readonly sha256: string;
}

export interface RunData {
  readonly train: Dataset;
  readonly val: Dataset;
  readonly classes: readonly string[];
  /** Of the training loss; undefined where all are 1. */
  readonly classWeights: readonly number[] | undefined;
  /** SHA-256 over what the data sets hold. */
  readonly fingerprint: string;
  /** Every image of the data folder that is used; none of data sets in code. */
  readonly files: readonly DataFile[];
  /** Broken images that are left out. */
  readonly skipped: readonly BadImage[];
}

/**
 * Opens the data sets and looks through every image of the folders. Data sets in code are taken as they are.
 *
 * @throws BadImagesError naming every broken image, unless they are to be skipped.
 * @throws DatasetError if there is nothing to train on, or the two do not fit together.
 */
export async function openData(
  config: ResolvedOptions,
  pool: LoaderPool,
  emit: (event: TrainEvent) => void,
): Promise<RunData> {
  const { train, val } = await openSets(config, emit);
  const { classes } = train;
  checkPair(train, val);
  const found = await inspectFolders({ train, val }, config, pool, emit);
  const classWeights = await resolveClassWeights(config.classWeights, found.train);
  return { ...found, classes, classWeights, fingerprint: fingerprint(found, classWeights) };
}

/** DIR/train and DIR/val; or DIR/train, or DIR itself, split. */
async function openSets(
  config: ResolvedOptions,
  emit: (event: TrainEvent) => void,
): Promise<Record<Split, Dataset>> {
  const { data = '', trainDataset, valDataset, valFraction } = config;
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

function isFolder(dir: string): boolean {
  return statSync(dir, { throwIfNoEntry: false })?.isDirectory() ?? false;
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

interface Inspected {
  readonly train: Dataset;
  readonly val: Dataset;
  readonly files: DataFile[];
  readonly skipped: BadImage[];
}

async function inspectFolders(
  sets: Readonly<Record<Split, Dataset>>,
  { onBadImage, signal }: ResolvedOptions,
  pool: LoaderPool,
  emit: (event: TrainEvent) => void,
): Promise<Inspected> {
  const kept = { ...sets };
  const files: DataFile[] = [];
  const skipped: BadImage[] = [];
  let known = 0;
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
    known += result.known;
    skipped.push(...result.bad);
    for (const [file, sha256] of result.hashes) {
      const name = path.join(split, path.relative(folder.dir, file));
      files.push({ name: name.split(path.sep).join('/'), sha256 });
    }
    kept[split] = folder.without(new Set(result.bad.map((image) => image.path)));
  }
  if (skipped.length > 0 && onBadImage === 'stop') throw new BadImagesError(skipped);
  if (folders.length > 0) checkKept(kept, skipped, known, emit);
  for (const message of duplicates(files)) emit({ type: 'warning', message });
  return { ...kept, files, skipped };
}

/** After broken images were left out, every class must still have some. */
function checkKept(
  kept: Readonly<Record<Split, Dataset>>,
  skipped: readonly BadImage[],
  known: number,
  emit: (event: TrainEvent) => void,
): void {
  const counts = (dataset: Dataset): number[] | null => {
    if (!(dataset instanceof ImageFolder)) return null;
    const numbers = dataset.classes.map(() => 0);
    for (const { label } of dataset.samples) numbers[label] = (numbers[label] ?? 0) + 1;
    return numbers;
  };
  const [train, val] = [counts(kept.train), counts(kept.val)];
  const classes = kept.train.classes.map((name, label) => ({
    name,
    train: train?.[label] ?? 0,
    val: val?.[label] ?? 0,
  }));
  emit({ type: 'checked', classes, known, skipped });
  const empty = classes.find((one) => train !== null && one.train === 0);
  if (empty !== undefined || kept.val.length === 0) {
    const where = empty === undefined ? 'validation' : `training of class ${empty.name}`;
    throw new DatasetError(
      `expected readable images for ${where}, found that every one is broken; add good ones`,
    );
  }
}

/** Pictures that are in training and validation, or in two classes: the same bytes. */
function duplicates(files: readonly DataFile[]): string[] {
  const first = new Map<string, string>();
  const pairs = { leak: [] as string[], label: [] as string[] };
  for (const { name, sha256 } of files) {
    const other = first.get(sha256);
    if (other === undefined) {
      first.set(sha256, name);
      continue;
    }
    const [[split, label], [otherSplit, otherLabel]] = [name.split('/'), other.split('/')];
    if (split !== otherSplit) pairs.leak.push(`${other} = ${name}`);
    else if (label !== otherLabel) pairs.label.push(`${other} = ${name}`);
  }
  const tell = (found: readonly string[], text: string): string[] => {
    if (found.length === 0) return [];
    return [`${found.length} ${text}: ${listSome(found)}`];
  };
  return [
    ...tell(pairs.leak, 'validation images are training images, too (accuracy will look too good)'),
    ...tell(pairs.label, 'images are in two classes'),
  ];
}

function fingerprint(
  { train, val, files }: Inspected,
  classWeights: readonly number[] | undefined,
): string {
  const hash = createHash('sha256');
  if (classWeights !== undefined) hash.update(JSON.stringify({ classWeights }));
  for (const dataset of [train, val]) {
    const { classes, length } = dataset;
    hash.update(JSON.stringify({ classes, length, fingerprint: dataset.fingerprint ?? null }));
  }
  for (const { name, sha256 } of files) hash.update(JSON.stringify([name, sha256]));
  return hash.digest('hex');
}
