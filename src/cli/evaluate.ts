/** The command `evaluate`. */

import { csvLine } from '../common/csv.js';
import { formatShare } from '../common/format.js';
import { jsonLine, visible } from '../common/text.js';
import { CLASSIFIER_OPTIONS, NETWORK_OPTIONS } from '../config/classifier-options.js';
import {
  EVALUATE_OPTIONS,
  type EvaluateOptions,
  resolveEvaluateOptions,
} from '../config/evaluate-options.js';
import { boolean } from '../config/options.js';
import type { EvaluationResult, FolderEvaluation } from '../inference/evaluate.js';
import { optionsFrom, type Arguments, type Command } from './flags.js';
import { FORMAT_CONFLICTS, outputFormat } from './output/output.js';

export const EVALUATE: Command = {
  describe: 'Measure a trained network on labelled images',
  options: {
    ...NETWORK_OPTIONS,
    ...EVALUATE_OPTIONS,
    ...CLASSIFIER_OPTIONS,
    json: boolean({ help: 'print JSON', docs: 'print one JSON object' }),
    csv: boolean({
      help: 'print comma-separated values',
      docs: 'print one line of comma-separated values per class',
    }),
  },
  conflicts: FORMAT_CONFLICTS,
  run: evaluateCommand,
};

/** Prints how good a trained network is on labelled images. */
async function evaluateCommand(given: Arguments): Promise<void> {
  const format = outputFormat(given);
  const options = optionsFrom(
    { ...NETWORK_OPTIONS, ...CLASSIFIER_OPTIONS, ...EVALUATE_OPTIONS },
    given,
  );
  // Checked before the modules that classify are loaded.
  resolveEvaluateOptions(options, 'flag');
  const { nodePlatform } = await import('../platform/node/node-platform.js');
  const { evaluate } = await import('../inference/evaluate.js');
  const result = await evaluate(options as unknown as EvaluateOptions, 'flag', nodePlatform);
  const text = {
    json: () => `${jsonLine(result)}\n`,
    csv: () => evaluationCsv(result),
    text: () =>
      [...usedFolder(result, options.data), ...evaluationText(result)]
        .map((line) => `${line}\n`)
        .join(''),
  };
  // The lines of CSV are one table, so the folder goes where the warnings go.
  if (format === 'csv') {
    for (const line of usedFolder(result, options.data)) process.stderr.write(`${line}\n`);
  }
  // Programs find the remarks in the result.
  if (format !== 'json') {
    for (const { message } of result.remarks)
      process.stderr.write(`warning: ${visible(message)}\n`);
  }
  process.stdout.write(text[format]());
}

/** Returns a line with the folder that was used, unless it is the one that was given. */
function usedFolder({ data }: FolderEvaluation, given: unknown): string[] {
  return data === given ? [] : [`Data   ${visible(data)}`];
}

/** Returns lines for people: figures, one line per class, the confusion matrix of up to 20 classes. */
function evaluationText(result: EvaluationResult): string[] {
  const share = (value: number | null): string => (value === null ? '–' : formatShare(value));
  const rows = result.classes.map(({ name, precision, recall, f1, support }) => [
    visible(name),
    share(precision),
    share(recall),
    share(f1),
    String(support),
  ]);
  const lines = [
    `Images ${result.images}  loss ${result.loss.toFixed(4)}  accuracy ${formatShare(result.accuracy)}`,
    '',
    ...table([['class', 'precision', 'recall', 'F1', 'images'], ...rows]),
  ];
  if (result.classes.length > 20) return lines;
  const head = ['actual \\ predicted', ...result.classes.map(({ name }) => visible(name))];
  const matrix = result.confusion.map((counts, i) => [
    visible(result.classes[i]?.name ?? ''),
    ...counts.map(String),
  ]);
  return [...lines, '', ...table([head, ...matrix])];
}

/** Returns rows with columns of equal width: the first aligned left, the others right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** Returns one line per class: its scores, then its row of the confusion matrix. */
function evaluationCsv({ classes, confusion }: EvaluationResult): string {
  const names = classes.map(({ name }) => `predicted ${name}`);
  const rows = classes.map(({ name, precision, recall, f1, support }, i) =>
    csvLine([name, precision, recall, f1, support, ...(confusion[i] ?? [])]),
  );
  return csvLine(['class', 'precision', 'recall', 'f1', 'images', ...names]) + rows.join('');
}
