/**
 * Saves the predictions of a validation: the logits and the label of each image, in a safetensors file whose metadata
 * hold the class names, the names of the images and the epoch.
 */

import path from 'node:path';
import type { Predictions } from '../metrics/predictions.js';
import { parseJson } from '../common/json.js';
import { WeightsError } from '../common/errors.js';
import { writeFileAtomic } from '../common/node/atomic-file.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import type { Files } from '../platform/platform.js';
import { float32Tensor, type Tensor } from '../common/tensor.js';

export interface SavedPredictions extends Predictions {
  /** Epochs completed when the predictions were made. */
  readonly epoch: number;
  readonly classNames: readonly string[];
  /** Name of each image: its path below the validation folder, or `sample N`. */
  readonly names: readonly string[];
}

/** Returns the path of the predictions of a run's best, or latest, weights. */
export function predictionsFile(runDir: string, name: 'best' | 'last'): string {
  return path.join(runDir, `predictions-${name}.safetensors`);
}

/** Writes predictions whole or not at all; the folder must exist. */
export async function savePredictions(file: string, saved: SavedPredictions): Promise<void> {
  const { indices, labels, logits, classes } = saved;
  const integers = (values: Uint32Array | Int32Array): Tensor => ({
    dtype: 'int64',
    shape: [values.length],
    data: BigInt64Array.from(values, BigInt),
  });
  const tensors = new Map([
    ['logits', float32Tensor([labels.length, classes], logits)],
    ['labels', integers(labels)],
    ['indices', integers(indices)],
  ]);
  const metadata = {
    epoch: String(saved.epoch),
    classes: JSON.stringify(saved.classNames),
    names: JSON.stringify(saved.names),
  };
  await writeFileAtomic(file, encodeSafetensors(tensors, metadata));
}

/** Reads predictions. @throws WeightsError if the file is missing, damaged or something else. */
export async function loadPredictions(file: string, files: Files): Promise<SavedPredictions> {
  const { tensors, metadata } = await readSafetensors(file, files);
  const [logits, labels, indices] = ['logits', 'labels', 'indices'].map((name) =>
    tensors.get(name),
  );
  const [classNames, names] = [strings(metadata.get('classes')), strings(metadata.get('names'))];
  const epoch = Number(metadata.get('epoch'));
  const count = labels?.data.length ?? 0;
  const complete =
    logits?.dtype === 'float32' &&
    labels?.dtype === 'int64' &&
    indices?.dtype === 'int64' &&
    indices.data.length === count &&
    logits.data.length === count * (classNames?.length ?? 0) &&
    Number.isSafeInteger(epoch) &&
    classNames !== null &&
    names !== null;
  if (!complete) {
    throw new WeightsError(
      `expected saved predictions in ${file}, found something else; delete it, an export works without it`,
    );
  }
  return {
    classes: classNames.length,
    classNames,
    names,
    epoch,
    logits: logits.data as Float32Array,
    labels: Int32Array.from(labels.data as BigInt64Array, Number),
    indices: Uint32Array.from(indices.data as BigInt64Array, Number),
  };
}

function strings(text: string | undefined): string[] | null {
  const value = parseJson(text);
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null;
}
