/** The library's functions with Node.js as their platform, for index.ts and tests. */

import type { Artifacts } from '../../artifacts/open-artifacts.js';
import type { TrainResult } from '../../common/events.js';
import type { FindLrOptions } from '../../config/find-lr-options.js';
import type { Naming, TrainOptions } from '../../config/train-options.js';
import * as exporting from '../../export/export-inference.js';
import * as classifying from '../../inference/classifier.js';
import * as rangeTest from '../../train/find-lr.js';
import * as training from '../../train/train.js';
import { nodePlatform } from './node-platform.js';

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
export function train(options: TrainOptions, naming: Naming = 'option'): Promise<TrainResult> {
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
export function findLr(
  options: FindLrOptions,
  naming: Naming = 'option',
): Promise<rangeTest.FindLrResult> {
  return rangeTest.findLr(options, naming, nodePlatform);
}

/**
 * Writes a run's network as one ONNX file: BatchNorm folded, weights inside, input `input` float32 [N, 3, S, S]
 * (normalised), output `logits` [N, C] (or what the options say), and what a user of the file must know in
 * `metadata_props`.
 *
 * Before the file gets its name, the model and the evaluation graph run on the same random images, and every
 * validation image goes through the file in a new session: its top classes must be those of training's own
 * evaluation.
 *
 * @throws WeightsError for a damaged checkpoint; TrainingError if the model gives other results, or compression
 *   costs too much; ConfigError if compression cannot be judged.
 * @example
 * await exportInference({ run: 'runs/train-1', checkpoint: 'best', out: 'model.onnx' });
 */
export function exportInference(options: exporting.ExportOptions): Promise<exporting.ExportResult> {
  return exporting.exportInference(options, nodePlatform);
}

/** A trained network that answers for images. It holds threads until it is closed. */
export class Classifier extends classifying.Classifier {
  /**
   * Loads a model.
   *
   * @param bytes a model of `export-inference`, of any of its kinds.
   * @param artifacts whose preprocessing to use; null for a model that takes decoded images.
   * @example
   * const classifier = await Classifier.open(await readFile('model.onnx'), await openArtifacts(bundledArtifacts()));
   */
  static override open(
    bytes: Uint8Array,
    artifacts: Artifacts | null,
    options: classifying.ClassifierOptions = {},
  ): Promise<classifying.Classifier> {
    return super.open(bytes, artifacts, { ...options, platform: nodePlatform });
  }
}
