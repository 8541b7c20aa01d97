/** An exported model tried on every validation image, in a session of its own. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Artifacts } from '../artifacts/open-artifacts.js';
import { predictedLabels, type Predictions } from '../metrics/predictions.js';
import type { Platform } from '../platform/platform.js';
import { Classifier } from '../inference/classifier.js';
import type { Dataset, Sample } from '../data/dataset.js';
import { classifyDataset } from '../inference/evaluate-folder.js';
import {
  loadPredictions,
  predictionsFile,
  type SavedPredictions,
} from '../checkpoint/predictions-file.js';
import type { CheckpointName, RunConfig } from '../checkpoint/run-folder.js';

/** What an exported file made of the validation images. */
export interface Replay {
  readonly images: number;
  /** Of the exported model. */
  readonly accuracy: number;
  /** What training's evaluation had. */
  readonly expectedAccuracy: number;
  /** Images whose top class is another than in training's evaluation, ties left aside. */
  readonly differing: number;
}

/** The validation images of a run, and what training's evaluation said of them. */
export interface Validation {
  readonly dataset: Dataset;
  readonly expected: Predictions;
}

/** Two logits nearer than this are a tie: rounding may order them either way. */
export const TIE = 1e-3;

/** What training's evaluation of a checkpoint was, if the run folder holds it. */
export async function savedValidation(
  runDir: string,
  checkpoint: CheckpointName,
  epoch: number,
): Promise<SavedPredictions | null> {
  // Where both are the same state, a run that was killed in between may have saved only one.
  for (const name of [checkpoint, 'best', 'last'] as const) {
    const saved = await loadPredictions(predictionsFile(runDir, name)).catch(() => null);
    if (saved?.epoch === epoch) return saved;
  }
  return null;
}

/** The folder below which a run's validation images lie; null where it is gone or was never one. */
export function validationFolder(config: RunConfig, data?: string): string | null {
  const root = data ?? (typeof config.data === 'string' ? config.data : null);
  if (root === null) return null;
  const found = ['val', 'train', '.'].map((name) => path.join(root, name));
  return found.find((dir) => existsSync(dir)) ?? null;
}

/** The images of saved predictions, read again from a folder. */
export function savedDataset(saved: SavedPredictions, dir: string): Dataset {
  return {
    length: saved.labels.length,
    classes: saved.classNames,
    get: (index: number): Sample => ({
      image: path.join(dir, saved.names[index] ?? ''),
      label: saved.labels[index] ?? 0,
    }),
  };
}

/**
 * Classifies the validation images with an exported model and compares.
 *
 * @throws DatasetError if an image is gone or cannot be read.
 */
export async function verifyExport(
  model: Uint8Array,
  artifacts: Artifacts,
  { dataset, expected }: Validation,
  platform: Platform,
): Promise<Replay> {
  const classifier = await Classifier.open(model, artifacts, { platform });
  try {
    return compare(await classifyDataset(classifier, dataset), expected);
  } finally {
    await classifier.close();
  }
}

/** @param found in the order of the data set. */
export function compare(found: Predictions, expected: Predictions): Replay {
  const { classes, labels } = found;
  const [got, wanted] = [predictedLabels(found), predictedLabels(expected)];
  let [hits, expectedHits, differing] = [0, 0, 0];
  expected.indices.forEach((index, row) => {
    const label = labels[index] ?? -1;
    const [mine, theirs] = [got[index] ?? 0, wanted[row] ?? 0];
    if (mine === label) hits++;
    if (theirs === label) expectedHits++;
    const logit = (i: number): number => expected.logits[row * classes + i] ?? NaN;
    if (mine !== theirs && !(Math.abs(logit(mine) - logit(theirs)) <= TIE)) differing++;
  });
  const images = labels.length;
  return {
    images,
    accuracy: hits / images,
    expectedAccuracy: expectedHits / images,
    differing,
  };
}
