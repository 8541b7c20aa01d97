/** `evaluate`: how good a trained network is on the images of a folder. */

import path from 'node:path';
import { isFolder } from '../common/paths.js';
import { classScores, confusionMatrix, type ClassScore } from '../metrics/confusion-matrix.js';
import { type Predictions } from '../metrics/predictions.js';
import { type InputImage } from './classifier.js';
import { ImageFolder } from '../data/image-folder.js';
import { type Dataset } from '../data/dataset.js';
import { argmax, crossEntropy } from '../metrics/logits.js';
import { Classifier } from './classifier.js';

/** How a network did on labelled images. */
export interface EvaluationResult {
  /** Mean cross entropy. */
  readonly loss: number;
  readonly accuracy: number;
  readonly images: number;
  readonly classes: readonly (ClassScore & { readonly name: string })[];
  /** `confusion[actual][predicted]`: how many images. */
  readonly confusion: readonly (readonly number[])[];
}

interface Labelled extends InputImage {
  readonly index: number;
  readonly label: number;
}

/** The folder of labelled images that `dir` means: its `val`, if it is laid out for training. */
export function evaluationFolder(dir: string): string {
  const [train, val] = [path.join(dir, 'train'), path.join(dir, 'val')];
  return isFolder(train) && isFolder(val) ? val : dir;
}

/**
 * Classifies every image of a data set.
 *
 * @throws DatasetError for the first image that cannot be read.
 */
export async function classifyDataset(
  classifier: Classifier,
  dataset: Dataset,
  onImage: (done: number) => void = () => undefined,
): Promise<Predictions> {
  const classes = classifier.classes.length;
  const labels = new Int32Array(dataset.length);
  const logits = new Float32Array(dataset.length * classes);
  let done = 0;
  for await (const outcome of classifier.classify(samples(dataset))) {
    if (outcome.error !== undefined) throw outcome.error;
    const { index, label } = outcome.item;
    labels[index] = label;
    logits.set(outcome.logits, index * classes);
    onImage(++done);
  }
  return { classes, labels, logits, indices: Uint32Array.from(labels.keys()) };
}

async function* samples(dataset: Dataset): AsyncGenerator<Labelled> {
  for (let index = 0; index < dataset.length; index++) {
    const { image, label } = await dataset.get(index);
    yield { image, label, index, name: typeof image === 'string' ? image : `sample ${index}` };
  }
}

/** The figures of a pass. */
export function judge(predictions: Predictions, names: readonly string[]): EvaluationResult {
  const { classes, labels, logits } = predictions;
  let [loss, hits] = [0, 0];
  labels.forEach((label, row) => {
    loss += crossEntropy(logits, row * classes, classes, label);
    if (argmax(logits, row * classes, classes) === label) hits++;
  });
  const confusion = confusionMatrix(predictions);
  const scores = classScores(confusion).map((score, i) => ({ name: names[i] ?? '', ...score }));
  const images = labels.length;
  return { loss: loss / images, accuracy: hits / images, images, classes: scores, confusion };
}

/** Evaluates on `dir/CLASS/*`, or `dir/val/CLASS/*` in a folder laid out for training. */
export async function evaluateFolder(
  classifier: Classifier,
  dir: string,
  onImage?: (done: number) => void,
): Promise<EvaluationResult> {
  const { classes } = classifier;
  const dataset = await ImageFolder.open(evaluationFolder(dir), { classes });
  return judge(await classifyDataset(classifier, dataset, onImage), classes);
}
