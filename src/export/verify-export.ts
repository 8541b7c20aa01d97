/** Classifies the validation images with an exported model, and compares the result with training's. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { Classifier } from '../inference/classifier.js';
import { classifyDataset } from '../inference/evaluate.js';
import { predictedLabels, type Predictions } from '../metrics/predictions.js';
import type { Platform } from '../platform/platform.js';
import type { Validation } from './find-validation.js';

/** Result of an exported model on the validation images. */
export interface Replay {
  /** Number of validation images. */
  readonly images: number;
  /** Accuracy of the exported model, 0 to 1. */
  readonly accuracy: number;
  /** Accuracy that training measured, 0 to 1. */
  readonly expectedAccuracy: number;
  /** Images whose top class is not that of training's evaluation. Ties do not count. */
  readonly differing: number;
}

/**
 * Two logits closer than this are a tie, because rounding may order them either way. Above 1, the share of the larger
 * logit: rounding grows with it.
 */
const TIE = 1e-3;

/**
 * Classifies the validation images with an exported model and compares the result with training's.
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

/**
 * Compares predictions with those of training.
 *
 * @param found predictions in the order of the data set.
 */
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
    const tie = TIE * Math.max(1, Math.abs(logit(theirs)));
    if (mine !== theirs && !(Math.abs(logit(mine) - logit(theirs)) <= tie)) differing++;
  });
  const images = labels.length;
  return {
    images,
    accuracy: hits / images,
    expectedAccuracy: expectedHits / images,
    differing,
  };
}
