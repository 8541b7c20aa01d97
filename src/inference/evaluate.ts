/** Evaluates a trained network on labelled images. */

import path from 'node:path';
import { DatasetError } from '../common/errors.js';
import type { DataRemark } from '../common/events.js';
import { listSome } from '../common/format.js';
import { type EvaluateOptions, resolveEvaluateOptions } from '../config/evaluate-options.js';
import type { Naming } from '../config/validator.js';
import type { Dataset, InputImage } from '../data/dataset.js';
import { ImageFolder } from '../data/folders/image-folder.js';
import { groupRemarks, withBroken, type LeftOut } from '../data/remarks.js';
import { type ClassesAt, findSplits } from '../data/folders/split-folders.js';
import { RULES } from '../data/folders/walk-rules.js';
import { classScores, confusionMatrix, type ClassScore } from '../metrics/confusion-matrix.js';
import { argmax, crossEntropy } from '../metrics/logits.js';
import type { Predictions } from '../metrics/predictions.js';
import type { Platform } from '../platform/platform.js';
import type { Classifier } from './classifier.js';
import { loadClassifier } from './load-classifier.js';

/** Scores of a network on labelled images. */
export interface EvaluationResult {
  /** Mean cross entropy. */
  readonly loss: number;
  /** Share of images classified correctly, 0 to 1. */
  readonly accuracy: number;
  /** Number of images. */
  readonly images: number;
  /** Scores of each class, in the order of the network's output. */
  readonly classes: readonly (ClassScore & { readonly name: string })[];
  /** `confusion[actual][predicted]`: how many images. */
  readonly confusion: readonly (readonly number[])[];
}

/** Scores of a network on the images of a folder. */
export interface FolderEvaluation extends EvaluationResult {
  /** Folder of the class folders: that for validation, if the data folder has split folders. */
  readonly data: string;
  /** All that is left out, or used in an unexpected way. */
  readonly remarks: readonly DataRemark[];
}

interface Labelled extends InputImage {
  readonly index: number;
  readonly label: number;
}

/**
 * Opens the images to evaluate on: those of `dir/CLASS`; if `dir` has split folders, those for validation, or for
 * testing if there is nothing for validation.
 */
async function openEvaluationSet(
  dir: string,
  classes: readonly string[],
): Promise<{ dataset: ImageFolder; leftOut: LeftOut[] }> {
  const layout = await findSplits(dir, classes);
  const { val, test, train, isSplit } = layout;
  const split = val ?? (isSplit ? test : null);
  let at: ClassesAt | null = train;
  if (split !== null) at = { dir: split, except: [] };
  else if (isSplit) at = null;
  if (at === null) {
    const tests = layout.leftOut.filter(({ reason }) => reason === 'test');
    const name = (at: string): string => `"${path.basename(at)}"`;
    const several = `several for testing (${listSome(tests.map((one) => name(one.path)))})`;
    const found = tests.length > 0 ? several : `only ${name(train?.dir ?? dir)}`;
    throw new DatasetError(
      `expected one folder for validation (val) or testing (test) in ${dir}, found ${found}; ` +
        'give the folder to measure on, which holds the class folders',
    );
  }
  const dataset = await ImageFolder.openBy(
    RULES,
    at.dir,
    { classes, except: at.except },
    layout.reader,
  );
  const isUsed = ({ path: name }: LeftOut): boolean => path.resolve(name) === path.resolve(at.dir);
  const leftOut = [...layout.leftOut.filter((one) => !isUsed(one)), ...dataset.leftOut];
  return { dataset, leftOut };
}

/** Returns the paths of images that cannot be read. */
async function unreadable(
  classifier: Classifier,
  paths: readonly string[],
): Promise<ReadonlySet<string>> {
  const broken = new Set<string>();
  const images = paths.map((image): InputImage => ({ image, name: image }));
  for await (const { item, error } of classifier.classify(images)) {
    if (error !== undefined) broken.add(item.name);
  }
  return broken;
}

/**
 * Classifies every image of a data set.
 *
 * @param onImage called after each image with the number of images classified so far.
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

/** Returns the scores that follow from predictions; `names` are those of the classes. */
function scoresOf(predictions: Predictions, names: readonly string[]): EvaluationResult {
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

/**
 * Evaluates an open classifier on the images of a folder; {@link evaluate} opens one itself.
 *
 * @param dir folder with `CLASS/*`; or with split folders, of which the one for validation is used, or else the one for
 *   testing (docs/data.md).
 * @param onImage called after each image with the number of images classified so far.
 * @throws DatasetError for an unknown class, or the first image that cannot be read.
 * @example
 * const classifier = await Classifier.open(await readFile('model.onnx'), await openArtifacts(bundledArtifacts()));
 * const { accuracy } = await evaluateFolder(classifier, 'images/val');
 * await classifier.close();
 */
export async function evaluateFolder(
  classifier: Classifier,
  dir: string,
  onImage?: (done: number) => void,
): Promise<FolderEvaluation> {
  const { classes } = classifier;
  const { dataset: found, leftOut } = await openEvaluationSet(dir, classes);
  // As in training, a file that only begins as an image is not one.
  const broken = await unreadable(classifier, found.byContent);
  const dataset = found.without(broken);
  if (dataset.length === 0) {
    throw new DatasetError(
      `expected images in ${found.dir}, found only broken ones; add good ones`,
    );
  }
  const remarks = groupRemarks(dir, withBroken(leftOut, broken));
  const scores = scoresOf(await classifyDataset(classifier, dataset, onImage), classes);
  return { ...scores, data: dataset.dir, remarks };
}

/**
 * Evaluates the network of a run, or of a model file, on the images of a folder. Checks the options first.
 *
 * @param naming how messages name an option.
 */
export async function evaluate(
  options: EvaluateOptions,
  naming: Naming,
  platform: Platform,
): Promise<FolderEvaluation> {
  const { source, data, onImage } = resolveEvaluateOptions(options, naming);
  const classifier = await loadClassifier(source, platform);
  try {
    return await evaluateFolder(classifier, data, onImage);
  } finally {
    await classifier.close();
  }
}
