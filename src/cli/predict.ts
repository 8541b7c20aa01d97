/** The command `predict`. */

import { csvLine } from '../common/csv.js';
import type { DataRemark, WarningEvent } from '../common/events.js';
import { formatShare } from '../common/format.js';
import { jsonLine, visible } from '../common/text.js';
import { CLASSIFIER_OPTIONS, NETWORK_OPTIONS } from '../config/classifier-options.js';
import { boolean } from '../config/options.js';
import {
  PREDICT_OPTIONS,
  type PredictOptions,
  resolvePredictOptions,
} from '../config/predict-options.js';
import type { Prediction } from '../inference/predict.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { FORMAT_CONFLICTS, outputFormat, printLine, type Format } from './output/output.js';

export const PREDICT: Command = {
  describe: 'Classify images: files, folders, patterns, - for standard input',
  options: {
    ...NETWORK_OPTIONS,
    ...PREDICT_OPTIONS,
    ...CLASSIFIER_OPTIONS,
    json: boolean({ help: 'print JSON', docs: 'print one line of JSON per image' }),
    csv: boolean({
      help: 'print comma-separated values',
      docs: 'print one line of comma-separated values per class of an image',
    }),
  },
  conflicts: FORMAT_CONFLICTS,
  words: 'PATH...',
  run: predictCommand,
};

const CSV_HEAD = csvLine(['path', 'rank', 'class', 'probability', 'error']);

/**
 * Prints the most probable classes of each image.
 *
 * @returns the exit code: 1 if some images could not be read, so that scripts notice.
 */
async function predictCommand(given: Arguments): Promise<number> {
  const format = outputFormat(given);
  const [, ...words] = given._ as string[];
  const flags = { ...NETWORK_OPTIONS, ...CLASSIFIER_OPTIONS, ...PREDICT_OPTIONS };
  const options = { ...optionsFrom(flags, given), images: words };
  // Checked before the modules that classify are loaded.
  resolvePredictOptions(options, 'flag');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const { findImages } = await import('../inference/find-images.js');
  const { predict } = await import('../inference/predict.js');
  let head = format === 'csv' ? CSV_HEAD : '';
  let failures = 0;
  const images = findImages(words, process.stdin, (remark) => {
    printRemark(remark, format);
  });
  const call = { ...options, images } as unknown as PredictOptions;
  for await (const prediction of predict(call, 'flag', nodePlatform)) {
    if (prediction.error !== undefined) failures++;
    // Not before the network is open: its errors leave standard output empty.
    process.stdout.write(head);
    head = '';
    print(prediction, format);
  }
  process.stdout.write(head);
  return failures > 0 ? 1 : 0;
}

/** Prints what is left out: for programs a line of JSON as `train --json` has it. */
function printRemark(remark: DataRemark, format: Format): void {
  const event: WarningEvent = { type: 'warning', ...remark };
  if (format === 'json') process.stdout.write(`${jsonLine(event)}\n`);
  else process.stderr.write(`warning: ${visible(remark.message)}\n`);
}

function print(prediction: Prediction, format: Format): void {
  if (format === 'json') process.stdout.write(`${jsonLine(prediction)}\n`);
  else if (format === 'csv') process.stdout.write(predictionCsv(prediction));
  else if (prediction.error !== undefined)
    process.stderr.write(`error: ${visible(prediction.error)}\n`);
  else printLine(predictionText(prediction));
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
