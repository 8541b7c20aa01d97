/** The command `export-inference`. */

import { formatShare } from '../common/format.js';
import { shellWord } from '../common/text.js';
import {
  EXPORT_OPTIONS,
  resolveExportOptions,
  type ExportOptions,
} from '../config/export-options.js';
import { boolean, resolveOptions } from '../config/options.js';
import { Validator } from '../config/validator.js';
import type { ExportResult } from '../export/export-inference.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { printLine } from './output/output.js';

const WEB_OPTIONS = {
  web: {
    kind: 'text',
    expected: 'a folder name',
    value: 'DIR',
    shownDefault: 'no page',
    help: 'also write a folder with a page that classifies images in the browser',
    docs: 'also write a web page that classifies images in the browser; needs the packages `onnxruntime-web`, `@jsquash/png` and `@jsquash/webp`',
  },
} as const;

const { maxAccuracyDrop, data, skipReplay, artifacts, ...formOptions } = EXPORT_OPTIONS;

export const EXPORT: Command = {
  describe: 'Write a trained network as one ONNX file',
  options: {
    ...formOptions,
    fp16: boolean({
      help: 'store the weights in 16 bits',
      docs: 'store the weights in 16 bits; the accuracy that is lost is printed',
    }),
    int8: boolean({
      help: 'store the weights in 8 bits',
      docs: 'store the weights in 8 bits; the accuracy that is lost is printed',
    }),
    maxAccuracyDrop,
    ...WEB_OPTIONS,
    data,
    skipReplay,
    artifacts,
  },
  conflicts: [['fp16', 'int8']],
  run: exportCommand,
};

/** Writes a trained network as one ONNX file, and prints what was written. */
async function exportCommand(given: Arguments): Promise<void> {
  for (const line of await exportModel(given)) printLine(line);
}

/** @returns lines for people. */
export async function exportModel(given: Arguments): Promise<string[]> {
  const flags = exportOptions(given);
  // Checked before the modules that export are loaded.
  resolveExportOptions(flags, 'flag');
  const options = flags as unknown as ExportOptions;
  const { web } = resolveOptions(
    WEB_OPTIONS,
    optionsFrom(WEB_OPTIONS, given),
    new Validator('flag'),
  );
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const { exportInference } = await import('../export/export-inference.js');
  const { checkWebFolder, exportWebPage } = await import('../export/export-web.js');
  if (web !== undefined) await checkWebFolder(web, 'flag');
  const lines = exportLines(await exportInference(options, 'flag', nodePlatform), options);
  if (web === undefined) return lines;
  const page = await exportWebPage(options, web, 'flag', nodePlatform);
  return [
    ...lines,
    ...exportLines(page, options),
    `Web page in ${web}: serve that folder (for example: python3 -m http.server -d ${shellWord(web)}), then open it`,
  ];
}

/** Maps the flags to options. `exportInference` checks the values. */
function exportOptions(given: Arguments): Record<string, unknown> {
  const compression = given.fp16 === true ? 'fp16' : given.int8 === true ? 'int8' : undefined;
  return { ...optionsFrom(EXPORT_OPTIONS, given), compression };
}

function exportLines(
  { file, bytes, classes, ...found }: ExportResult,
  { skipReplay }: ExportOptions,
): string[] {
  const { output, maxDifference, replay } = found;
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  const first =
    `Exported ${file}: ${classes.length} classes, ${size}; ${output} within ` +
    `${maxDifference.toExponential(1)} of the evaluation graph`;
  if (replay === null) {
    const why = skipReplay === true ? 'as asked' : 'they are not at hand (see --data)';
    return [first, `Not tried on the validation images: ${why}`];
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
