/** `evaluate`: how good a trained network is on the images of a folder. */

import path from 'node:path';
import { isFolder } from '../common/paths.js';
import { classScores, confusionMatrix, type ClassScore } from '../metrics/confusion-matrix.js';
import { type Predictions } from '../metrics/predictions.js';
import { type InputImage } from './classifier.js';
import { csvLine } from '../common/csv.js';
import { ImageFolder } from '../data/image-folder.js';
import { type Dataset } from '../data/dataset.js';
import { argmax, crossEntropy } from '../metrics/logits.js';
import { formatShare } from '../common/format.js';
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

/** For people: figures, a line a class, the confusion matrix if it is not too wide. */
export function evaluationText(result: EvaluationResult): string[] {
  const share = (value: number | null): string => (value === null ? '–' : formatShare(value));
  const rows = result.classes.map(({ name, precision, recall, f1, support }) => [
    name,
    share(precision),
    share(recall),
    share(f1),
    String(support),
  ]);
  const lines = [
    `Images ${result.images}  loss ${result.loss.toFixed(4)}  accuracy ${formatShare(result.accuracy)}`,
    '',
    ...table([['class', 'precision', 'recall', 'F1', 'images'], ...rows]),
  ];
  if (result.classes.length > 20) return lines;
  const head = ['actual \\ predicted', ...result.classes.map(({ name }) => name)];
  const matrix = result.confusion.map((counts, i) => [
    result.classes[i]?.name ?? '',
    ...counts.map(String),
  ]);
  return [...lines, '', ...table([head, ...matrix])];
}

/** Columns of equal width, the first to the left. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** A line a class: its scores, then how often it was taken for each class. */
export function evaluationCsv({ classes, confusion }: EvaluationResult): string {
  const names = classes.map(({ name }) => `predicted ${name}`);
  const rows = classes.map(({ name, precision, recall, f1, support }, i) =>
    csvLine([name, precision, recall, f1, support, ...(confusion[i] ?? [])]),
  );
  return csvLine(['class', 'precision', 'recall', 'f1', 'images', ...names]) + rows.join('');
}
