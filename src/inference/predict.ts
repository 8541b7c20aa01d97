/** Predicts the most probable classes of images. */

import { resolvePredictOptions, type PredictOptions } from '../config/predict-options.js';
import type { Naming } from '../config/validator.js';
import type { DataRemark } from '../common/events.js';
import type { InputImage } from '../data/dataset.js';
import { topClasses } from '../metrics/logits.js';
import type { Platform } from '../platform/platform.js';
import type { Classifier } from './classifier.js';
import { imagesOf } from './find-images.js';
import { loadClassifier } from './load-classifier.js';

/** The most probable classes of one image, best first, or the error if it cannot be read. */
export type Prediction =
  | {
      readonly path: string;
      readonly classes: readonly { readonly name: string; readonly probability: number }[];
      readonly error?: undefined;
    }
  | { readonly path: string; readonly classes?: undefined; readonly error: string };

/**
 * Classifies images with an open classifier, in order. An image that cannot be read yields its error; the others go on.
 *
 * @param top number of classes per image.
 */
export async function* classifyImages(
  classifier: Classifier,
  images: AsyncIterable<InputImage> | Iterable<InputImage>,
  top: number,
): AsyncGenerator<Prediction> {
  const { classes } = classifier;
  for await (const { item, ...outcome } of classifier.classify(images)) {
    if (outcome.error !== undefined) {
      yield { path: item.name, error: outcome.error.message };
      continue;
    }
    const found = topClasses(outcome.logits, 0, classes.length, top);
    yield {
      path: item.name,
      classes: found.map(({ label, probability }) => ({ name: classes[label] ?? '', probability })),
    };
  }
}

/**
 * Classifies images with the network of a run, or of a model file. Checks the options first.
 *
 * @param naming how messages name an option.
 */
export async function* predict(
  options: PredictOptions,
  naming: Naming,
  platform: Platform,
): AsyncGenerator<Prediction> {
  const { source, images, top, onRemark } = resolvePredictOptions(options, naming);
  const classifier = await loadClassifier(source, platform);
  try {
    yield* classifyImages(classifier, inputImages(images, onRemark), top);
  } finally {
    await classifier.close();
  }
}

/** Yields the images themselves, and those that a path, folder or pattern means. */
async function* inputImages(
  images: Iterable<string | InputImage> | AsyncIterable<string | InputImage>,
  onRemark: ((remark: DataRemark) => void) | undefined,
): AsyncGenerator<InputImage> {
  for await (const image of images) {
    if (typeof image === 'string') yield* imagesOf(image, onRemark);
    else yield image;
  }
}
