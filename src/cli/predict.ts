/** The command `predict`. */

import { csvLine } from '../common/csv.js';
import { ConfigError } from '../common/errors.js';
import { formatShare } from '../common/format.js';
import type { Prediction } from '../inference/predict.js';
import {
  CLASSIFIER_FLAGS,
  SOURCE_FLAGS,
  count,
  openClassifier,
  outputFormat,
  type Format,
} from './classifier.js';
import type { Arguments, Flag } from './flags.js';

export const PREDICT_FLAGS: Readonly<Record<string, Flag>> = {
  ...SOURCE_FLAGS,
  top: { describe: 'Most probable classes to show', shownDefault: '5' },
  ...CLASSIFIER_FLAGS,
};

const CSV_HEAD = csvLine(['path', 'rank', 'class', 'probability', 'error']);

/**
 * Prints the most probable classes of each image.
 *
 * @returns the exit code: 1 if some images could not be read, so that scripts notice.
 */
export async function predictCommand(given: Arguments): Promise<number> {
  const format = outputFormat(given);
  const [, ...words] = given._ as string[];
  if (words.length === 0) {
    throw new ConfigError(
      'expected images, folders, patterns or - for standard input, got none; name some after the flags',
    );
  }
  const top = count(given, 'top', { min: 1, max: 1_000_000 }) ?? 5;
  const classifier = await openClassifier(given);
  let failures = 0;
  try {
    const { findImages } = await import('../inference/find-images.js');
    const { predict } = await import('../inference/predict.js');
    if (format === 'csv') process.stdout.write(CSV_HEAD);
    const images = findImages(words, process.stdin);
    for await (const prediction of predict(classifier, images, top)) {
      if (prediction.error !== undefined) failures++;
      print(prediction, format);
    }
  } finally {
    await classifier.close();
  }
  return failures > 0 ? 1 : 0;
}

function print(prediction: Prediction, format: Format): void {
  if (format === 'json') process.stdout.write(`${JSON.stringify(prediction)}\n`);
  else if (format === 'csv') process.stdout.write(predictionCsv(prediction));
  else if (prediction.error !== undefined) process.stderr.write(`error: ${prediction.error}\n`);
  else process.stdout.write(`${predictionText(prediction)}\n`);
}

/** Returns a line for people: `bird.jpg  ants 98.7%  bees 1.3%`. */
function predictionText({ path, classes }: Extract<Prediction, { classes: unknown }>): string {
  const shown = classes.map(({ name, probability }) => `${name} ${formatShare(probability)}`);
  return [path, ...shown].join('  ');
}

/** Returns one line per class, or one line with the error. */
function predictionCsv(prediction: Prediction): string {
  if (prediction.error !== undefined) {
    return csvLine([prediction.path, null, null, null, prediction.error]);
  }
  return prediction.classes
    .map(({ name, probability }, i) => csvLine([prediction.path, i + 1, name, probability, null]))
    .join('');
}
