/** The command `export-inference`. */

import path from 'node:path';
import { Validator } from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import { EXPORT_FLAGS as BASE_FLAGS, NUMBER, type Arguments, type Flag } from './flags.js';
import { printLine } from './output.js';
import type { ExportOptions, ExportResult } from '../export/export-inference.js';
import { formatShare } from '../common/format.js';

export const EXPORT_FLAGS: Readonly<Record<string, Flag>> = {
  ...BASE_FLAGS,
  'raw-images': { describe: 'Take pictures: input image uint8 [H, W, 3], any size', boolean: true },
  probabilities: { describe: 'Give probabilities in the place of logits', boolean: true },
  fp16: { describe: 'Weights in half precision', boolean: true },
  int8: { describe: 'Weights in 8 bits', boolean: true },
  'max-accuracy-drop': {
    describe: 'Share of accuracy that --fp16 or --int8 may cost (0 to 1)',
    shownDefault: '0.01',
  },
  data: {
    describe: 'Data folder of the run, to try the file on its validation images',
    shownDefault: 'where it was in training',
  },
  'skip-replay': { describe: 'Do not try the file on the validation images', boolean: true },
  web: {
    describe: 'Also write a folder with a page that classifies in the browser',
    shownDefault: 'no page',
  },
};

/** Writes a trained network as one ONNX file, and prints what was written. */
export async function exportCommand(given: Arguments): Promise<void> {
  for (const line of await exportModel(given)) printLine(line);
}

/** @returns lines for people. */
export async function exportModel(given: Arguments): Promise<string[]> {
  const options = exportOptions(given);
  const web =
    given.web === undefined ? null : new Validator('flag').text('web', 'a folder name', given.web);
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const { exportInference } = await import('../export/export-inference.js');
  const lines = exportLines(await exportInference(options, nodePlatform));
  if (web === null) return lines;
  const { exportWebPage } = await import('../export/export-web.js');
  const page = await exportWebPage(options, web, nodePlatform);
  return [
    ...lines,
    ...exportLines(page),
    `Web page in ${web}: serve that folder (for example: python3 -m http.server -d ${web}), then open it`,
  ];
}

function exportOptions(given: Arguments): ExportOptions {
  const validator = new Validator('flag');
  const run = validator.folder('run', 'the folder of an earlier training', given.run);
  const wanted = given.checkpoint ?? 'best';
  const file = given.out ?? path.join(run, 'model.onnx');
  if (given.fp16 === true && given.int8 === true) {
    throw new ConfigError('expected --fp16 or --int8, got both; choose one');
  }
  const compression = given.fp16 === true ? 'fp16' : given.int8 === true ? 'int8' : undefined;
  if (compression !== undefined && given['skip-replay'] === true) {
    throw new ConfigError(
      `expected --skip-replay without --${compression}, got both; what ${compression} costs must be measured`,
    );
  }
  const folder = (name: string, what: string): string | undefined =>
    given[name] === undefined ? undefined : validator.folder(name, what, given[name]);
  const artifacts = folder('artifacts', 'an artifact folder');
  const data = folder('data', "the run's data folder");
  return {
    run,
    checkpoint: validator.choice('checkpoint', wanted, ['best', 'last'] as const),
    out: validator.text('out', 'a file name', file),
    rawImages: given['raw-images'] === true,
    probabilities: given.probabilities === true,
    skipReplay: given['skip-replay'] === true,
    ...(compression === undefined ? {} : { compression }),
    ...accuracyDrop(given['max-accuracy-drop'], validator),
    ...(artifacts === undefined ? {} : { artifacts }),
    ...(data === undefined ? {} : { data }),
  };
}

function accuracyDrop(value: unknown, validator: Validator): { maxAccuracyDrop?: number } {
  if (value === undefined) return {};
  const number = typeof value === 'string' && NUMBER.test(value) ? Number(value) : NaN;
  if (number >= 0 && number <= 1) return { maxAccuracyDrop: number };
  throw validator.error('maxAccuracyDrop', 'a number from 0 to 1', value, 'the default is 0.01');
}

function exportLines({ file, bytes, classes, ...found }: ExportResult): string[] {
  const { maxDifference, replay } = found;
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  const first =
    `Exported ${file}: ${classes.length} classes, ${size}; logits within ` +
    `${maxDifference.toExponential(1)} of the evaluation graph`;
  if (replay === null) {
    return [first, 'Not tried on the validation images: they are not at hand (see --data)'];
  }
  const { images, accuracy, expectedAccuracy, differing } = replay;
  const lost = expectedAccuracy - accuracy;
  const cost =
    differing === 0
      ? 'the same top class for each'
      : `another top class for ${differing}, ${formatShare(lost)} of accuracy lost`;
  return [
    first,
    `Tried on ${images} validation images: accuracy ${formatShare(accuracy)}, ${cost}`,
  ];
}
