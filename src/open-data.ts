/** The two data sets of a run, checked against each other, and the hash that tells them from others. */

import { createHash } from 'node:crypto';
import path from 'node:path';
import type { ResolvedOptions } from './config.js';
import { ImageFolder, type Dataset } from './dataset.js';
import { DatasetError } from './errors.js';

export interface RunData {
  readonly train: Dataset;
  readonly val: Dataset;
  readonly classes: readonly string[];
  /** SHA-256 over what the data sets hold. */
  readonly fingerprint: string;
}

/** @throws DatasetError if there is nothing to train on, or the two do not fit together. */
export async function openData(config: ResolvedOptions): Promise<RunData> {
  const folder = (name: string): string => path.join(config.data ?? '', name);
  const train = config.trainDataset ?? (await ImageFolder.open(folder('train')));
  const { classes } = train;
  const val = config.valDataset ?? (await ImageFolder.open(folder('val'), { classes }));
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
  return { train, val, classes, fingerprint: fingerprint(train, val) };
}

function fingerprint(train: Dataset, val: Dataset): string {
  const hash = createHash('sha256');
  for (const dataset of [train, val]) {
    hash.update(JSON.stringify(describe(dataset)));
  }
  return hash.digest('hex');
}

function describe(dataset: Dataset): unknown {
  const { classes, length } = dataset;
  if (!(dataset instanceof ImageFolder)) return { classes, length };
  const samples = dataset.samples.map(({ image, label }) => [
    path.relative(dataset.dir, image),
    label,
  ]);
  return { classes, samples };
}
