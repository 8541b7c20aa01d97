/** The validation images of a run, to try an exported model on. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { VALIDATION } from '../checkpoint/data-manifest.js';
import type { RunWeights } from '../checkpoint/load-run.js';
import {
  loadPredictions,
  predictionsFile,
  type SavedPredictions,
} from '../checkpoint/predictions-file.js';
import type { CheckpointName } from '../checkpoint/run-folder.js';
import { ConfigError } from '../common/errors.js';
import type { ResolvedExportOptions } from '../config/export-options.js';
import { type Naming, Validator } from '../config/validator.js';
import type { Dataset, Sample } from '../data/dataset.js';
import { findSplits } from '../data/folders/split-folders.js';
import type { Predictions } from '../metrics/predictions.js';
import type { Files } from '../platform/platform.js';

/** The validation images of a run, and the predictions that training made for them. */
export interface Validation {
  readonly dataset: Dataset;
  readonly expected: Predictions;
}

/**
 * Finds the validation images of a run.
 *
 * @returns null if they are not there and nothing needs them.
 * @throws ConfigError if `data` or `compression` needs them.
 */
export async function findValidation(
  { folder, config, run }: RunWeights,
  { checkpoint, data, valDataset, compression }: ResolvedExportOptions,
  naming: Naming,
  files: Files,
): Promise<Validation | null> {
  const saved = await savedValidation(folder.dir, checkpoint, run.epoch, files);
  const wasSplit = existsSync(path.join(folder.dir, VALIDATION));
  const root = data ?? (typeof config.data === 'string' ? config.data : null);
  const dir = root === null ? null : await validationFolder(root, saved, wasSplit);
  const custom = config.customDataset === true;
  if (saved !== null && valDataset !== undefined) return { dataset: valDataset, expected: saved };
  if (saved !== null && dir !== null && (!custom || data !== undefined)) {
    return { dataset: savedDataset(saved, dir), expected: saved };
  }
  if (data !== undefined || compression !== undefined) {
    const missing = saved === null ? 'the predictions of its validation' : 'its validation images';
    throw new ConfigError(
      `expected the run to have ${missing}, found none; ` +
        `${saved === null ? 'train it again' : `give its data folder with ${new Validator(naming).name('data')}`}, or export without`,
    );
  }
  return null;
}

/** Returns the predictions of a checkpoint's validation in training; null if the run folder does not hold them. */
async function savedValidation(
  runDir: string,
  checkpoint: CheckpointName,
  epoch: number,
  files: Files,
): Promise<SavedPredictions | null> {
  // If best and last are the same epoch, a run that was killed in between may have saved only one of them.
  for (const name of [checkpoint, 'best', 'last'] as const) {
    const saved = await loadPredictions(predictionsFile(runDir, name), files).catch(() => null);
    if (saved?.epoch === epoch) return saved;
  }
  return null;
}

/**
 * Returns the folder of a run's validation images; null if it is gone.
 *
 * @param wasSplit whether they are a share of the training images, so that a folder for validation is not the run's.
 */
async function validationFolder(
  root: string,
  saved: SavedPredictions | null,
  wasSplit: boolean,
): Promise<string | null> {
  const layout = await findSplits(root).catch(() => null);
  const ofVal = [layout?.val, path.join(root, 'val')];
  const ofTrain = [layout?.train?.dir, path.join(root, 'train'), root];
  const inOrder = wasSplit ? [...ofTrain, ...ofVal] : [...ofVal, ...ofTrain];
  const dirs = inOrder.filter((dir) => typeof dir === 'string');
  // An earlier version may have taken its validation images from another folder than this one would.
  const first = saved?.names[0];
  const hasFirst = (dir: string): boolean =>
    first !== undefined && existsSync(path.join(dir, first));
  return dirs.find(hasFirst) ?? dirs.find((dir) => existsSync(dir)) ?? null;
}

/** Returns the images of saved predictions as a data set. */
function savedDataset(saved: SavedPredictions, dir: string): Dataset {
  return {
    length: saved.labels.length,
    classes: saved.classNames,
    get: (index: number): Sample => ({
      image: path.join(dir, saved.names[index] ?? ''),
      label: saved.labels[index] ?? 0,
    }),
  };
}
