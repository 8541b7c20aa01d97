/** Checks of an exported model against the evaluation that training uses. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { Philox, STREAM } from '../common/philox.js';
import { float32Tensor, type FloatTensors, type State } from '../common/tensor.js';
import { Classifier } from '../inference/classifier.js';
import { classifyDataset } from '../inference/evaluate.js';
import { predictedLabels, type Predictions } from '../metrics/predictions.js';
import type { OrtBackend, Platform } from '../platform/platform.js';
import { OrtWorker } from '../session/ort-worker.js';
import type { Validation } from './find-validation.js';

/** Random images that the exported model and the evaluation graph are compared on. */
const TRIAL_IMAGES = 2;

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

/** Two logits closer than this are a tie, because rounding may order them either way. */
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

/** Runs a model and the evaluation graph on the same random images. Returns the largest difference of a logit. */
export async function compareWithEvaluation(
  artifacts: Artifacts,
  state: State,
  model: Uint8Array,
  ort: OrtBackend,
): Promise<number> {
  const { manifest } = artifacts;
  const { inputSize } = manifest.preprocessing;
  const random = new Philox(0, STREAM.trial);
  const pixels = Float32Array.from({ length: TRIAL_IMAGES * 3 * inputSize ** 2 }, () =>
    random.normal(),
  );
  const images = float32Tensor([TRIAL_IMAGES, 3, inputSize, inputSize], pixels);
  const feeds: FloatTensors = { images };
  for (const { name } of [...manifest.parameters, ...manifest.buffers]) {
    const tensor = state.get(name);
    if (tensor !== undefined) feeds[name] = tensor;
  }
  const runtime = new OrtWorker(ort, 'cpu');
  try {
    const exported = await runtime.load(model);
    const reference = await runtime.load(artifacts.graphPath('evaluate'));
    const [found, expected] = [
      await runtime.run(exported, { input: images }, ['logits']),
      await runtime.run(reference, feeds, ['logits']),
    ];
    const wanted = expected.logits?.data as Float32Array;
    const got = found.logits?.data as Float32Array;
    return Math.max(...wanted.map((value, i) => Math.abs(value - (got[i] ?? NaN))));
  } finally {
    await runtime.close();
  }
}
