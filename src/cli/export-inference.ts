/** The command `export-inference`. */

import { Validator } from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import { EXPORT_FLAGS as BASE_FLAGS, numberOrText, type Arguments, type Flag } from './flags.js';
import { printLine } from './output.js';
import { type ExportOptions, resolveExportOptions } from '../config/export-options.js';
import type { ExportResult } from '../export/export-inference.js';
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
  const flags = exportOptions(given);
  // Checked before the modules that export are loaded.
  resolveExportOptions(flags, 'flag');
  const options = flags as unknown as ExportOptions;
  const web =
    given.web === undefined ? null : new Validator('flag').text('web', 'a folder name', given.web);
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const { exportInference } = await import('../export/export-inference.js');
  const lines = exportLines(await exportInference(options, 'flag', nodePlatform));
  if (web === null) return lines;
  const { exportWebPage } = await import('../export/export-web.js');
  const page = await exportWebPage(options, web, 'flag', nodePlatform);
  return [
    ...lines,
    ...exportLines(page),
    `Web page in ${web}: serve that folder (for example: python3 -m http.server -d ${web}), then open it`,
  ];
}

/** Maps the flags to options. `exportInference` checks the values. */
function exportOptions(given: Arguments): Record<string, unknown> {
  const { fp16, int8 } = given;
  if (fp16 === true && int8 === true) {
    throw new ConfigError('expected --fp16 or --int8, got both; choose one');
  }
  const compression = fp16 === true ? 'fp16' : int8 === true ? 'int8' : undefined;
  const options = ['run', 'checkpoint', 'out', 'artifacts', 'data', 'probabilities'] as const;
  return {
    ...Object.fromEntries(options.map((option) => [option, given[option]])),
    rawImages: given['raw-images'],
    skipReplay: given['skip-replay'],
    maxAccuracyDrop: numberOrText(given['max-accuracy-drop']),
    compression,
  };
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
