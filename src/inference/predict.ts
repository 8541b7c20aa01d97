/** `predict`: what a trained network says of pictures. */

import { topClasses } from '../metrics/logits.js';
import type { InputImage } from './classifier.js';
import type { Classifier } from './classifier.js';

/** The most probable classes of one image, or why there are none. */
export type Prediction =
  | {
      readonly path: string;
      readonly classes: readonly { readonly name: string; readonly probability: number }[];
      readonly error?: undefined;
    }
  | { readonly path: string; readonly error: string };

/** Classifies images in order; one that cannot be read is reported and the rest go on. */
export async function* predict(
  classifier: Classifier,
  items: AsyncIterable<InputImage> | Iterable<InputImage>,
  top = 5,
): AsyncGenerator<Prediction> {
  const { classes } = classifier;
  for await (const { item, ...outcome } of classifier.classify(items)) {
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
