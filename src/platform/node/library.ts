/** The library's functions with Node.js as their platform, for index.ts and tests. */

import type { Artifacts } from '../../artifacts/open-artifacts.js';
import type { TrainResult } from '../../common/events.js';
import {
  RANGE_OPTIONS,
  SHARED_WITH_TRAIN,
  type FindLrOptions,
} from '../../config/find-lr-options.js';
import { TRAIN_OPTIONS, type TrainOptions } from '../../config/train-options.js';
import { type Naming, Validator } from '../../config/validator.js';
import * as exporting from '../../export/export-inference.js';
import type { EvaluateOptions } from '../../config/evaluate-options.js';
import type { ExportOptions } from '../../config/export-options.js';
import type { PredictOptions } from '../../config/predict-options.js';
import type { InputImage } from '../../data/dataset.js';
import * as evaluating from '../../inference/evaluate.js';
import * as predicting from '../../inference/predict.js';
import * as classifying from '../../inference/classifier.js';
import * as rangeTest from '../../train/find-lr.js';
import * as training from '../../train/train.js';
import { nodePlatform } from './node-platform.js';

/** Options of training that only code can give, and the command line cannot. */
const IN_CODE = ['trainDataset', 'valDataset', 'signal', 'onEvent'];

/**
 * Fine-tunes a network: `epochs` times a pass over the training images and one over the validation images, the
 * learning rate scheduled by epochs, the best weights kept (by validation accuracy, then by lower loss). A run that
 * was stopped or killed goes on with `resume`; on the CPU it ends with the same bits as one that was not.
 *
 * @param naming how messages name an option.
 * @returns where the best checkpoint is and how good it was.
 * @throws UserError (one of errors.ts) for everything that the caller can mend.
 * @example
 * const { checkpoint, bestAccuracy } = await train({ data: 'images', epochs: 5 });
 */
export async function train(
  options: TrainOptions,
  naming: Naming = 'option',
): Promise<TrainResult> {
  const known = [...Object.keys(TRAIN_OPTIONS), 'resume', ...IN_CODE];
  new Validator(naming).known('train', options, known);
  return training.train(options, naming, nodePlatform);
}

/**
 * Takes training steps at learning rates from `minLr` to `maxLr`, each the same factor above the one before, and
 * reads from the losses which rate suits. The steps are training's own (same seed, order and crops); their weights
 * are thrown away. It ends early if the smoothed loss reaches four times its minimum.
 *
 * @param naming how messages name an option.
 * @throws UserError (one of errors.ts) for everything that the caller can mend.
 * @example
 * const { suggestion } = await findLr({ data: 'images' });
 */
export async function findLr(
  options: FindLrOptions,
  naming: Naming = 'option',
): Promise<rangeTest.FindLrResult> {
  const known = [...Object.keys(SHARED_WITH_TRAIN), ...Object.keys(RANGE_OPTIONS), ...IN_CODE];
  new Validator(naming).known('findLr', options, known);
  return rangeTest.findLr(options, naming, nodePlatform);
}

/**
 * Exports the network of a run as one ONNX file. BatchNorm is folded, the weights are inside. The input is `input`,
 * float32 [N, 3, S, S], normalised; the output is `logits` [N, C]; the options change both. The file's
 * `metadata_props` hold the class names and the preprocessing (docs/model-file.md).
 *
 * Before the file gets its name, two checks run: the model must give the logits of the evaluation graph on random
 * images, and the top classes of training's own evaluation on every validation image.
 *
 * @param naming how messages name an option.
 * @throws ConfigError for a wrong option, for an `out` that holds another kind of file, or if compression cannot be judged; WeightsError for a damaged checkpoint;
 *   TrainingError if the model gives other results, or compression costs too much.
 * @example
 * const { file, replay } = await exportInference({ run: 'runs/train-1' });
 * console.log(file, replay?.accuracy);
 */
export function exportInference(
  options: ExportOptions,
  naming: Naming = 'option',
): Promise<exporting.ExportResult> {
  return exporting.exportInference(options, naming, nodePlatform);
}

/**
 * Evaluates the network of a run, or of a model file, on the labelled images of a folder.
 *
 * @param naming how messages name an option.
 * @throws ConfigError for a wrong option; DatasetError for an unknown class, or the first image that cannot be read.
 * @example
 * const { accuracy, classes } = await evaluate({ run: 'runs/train-1', data: 'images' });
 * for (const { name, recall } of classes) console.log(name, recall);
 */
export function evaluate(
  options: EvaluateOptions,
  naming: Naming = 'option',
): Promise<evaluating.FolderEvaluation> {
  return evaluating.evaluate(options, naming, nodePlatform);
}

/**
 * Classifies images with the network of a run, or of a model file, in order. An image that cannot be read yields its
 * error; the others go on.
 *
 * @throws ConfigError for a wrong option, or a folder or pattern without an image.
 * @example
 * for await (const { path, classes } of predict({ run: 'runs/train-1', images: 'images/new' })) {
 *   console.log(path, classes?.[0]?.name);
 * }
 */
export function predict(
  options: PredictOptions,
  naming?: Naming,
): AsyncGenerator<predicting.Prediction>;
/** Classifies with an open classifier. Deprecated: use `predict({ run, images })` or `predict({ model, images })`. */
export function predict(
  classifier: classifying.Classifier,
  images: AsyncIterable<InputImage> | Iterable<InputImage>,
  top?: number,
): AsyncGenerator<predicting.Prediction>;
export function predict(
  source: PredictOptions | classifying.Classifier,
  second: Naming | AsyncIterable<InputImage> | Iterable<InputImage> = 'option',
  top = 5,
): AsyncGenerator<predicting.Prediction> {
  if (!(source instanceof classifying.Classifier)) {
    return predicting.predict(source, second === 'flag' ? 'flag' : 'option', nodePlatform);
  }
  const images = typeof second === 'string' ? [] : second;
  return predicting.classifyImages(source, images, top);
}

/**
 * A trained network that classifies images. It holds threads until it is closed. {@link evaluate} and {@link predict}
 * open one themselves.
 *
 * @example
 * const bytes = await readFile('runs/train-1/model.onnx');
 * const classifier = await Classifier.open(bytes, await openArtifacts(bundledArtifacts('resnet18')));
 * const images = [{ name: 'new', image: await readFile('new.jpg') }];
 * for await (const { item, logits } of classifier.classify(images)) console.log(item.name, logits);
 * await classifier.close();
 */
export class Classifier extends classifying.Classifier {
  /**
   * Loads a model.
   *
   * @param bytes a model that `exportInference` wrote, in any form.
   * @param artifacts artifacts whose preprocessing to use; null for a model that takes decoded images.
   */
  static override open(
    bytes: Uint8Array,
    artifacts: Artifacts | null,
    options: classifying.ClassifierOptions = {},
  ): Promise<classifying.Classifier> {
    return super.open(bytes, artifacts, { ...options, platform: nodePlatform });
  }
}
