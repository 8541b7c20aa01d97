/** Comma-separated values as in RFC 4180. */

import type { PhaseRecord } from './events.js';
import { visible } from './text.js';

export type CsvValue = string | number | null;

/**
 * Returns one line with its line break. Text with a comma, a quote or a line break is quoted; null is empty.
 *
 * Class and file names may hold anything. Control characters are written as escapes (`\x1b`), because a terminal would
 * obey them. Text that a spreadsheet would take for a formula (`=…`, `@…`) gets a leading apostrophe; numbers such
 * as `-1` do not. `--json` gives every name as it is.
 */
export function csvLine(values: readonly CsvValue[]): string {
  const fields = values.map((value) => {
    const text = typeof value === 'string' ? harmless(value) : String(value ?? '');
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${fields.join(',')}\n`;
}

function harmless(text: string): string {
  const isFormula = /^[\r\n]*[=+@-]./.test(text) && Number.isNaN(Number(text));
  return (isFormula ? "'" : '') + visible(text, '\r\n');
}

const METRICS = [
  'epoch',
  'phase',
  'loss',
  'accuracy',
  'lr',
  'images',
  'seconds',
  'dataWaitSeconds',
] as const satisfies readonly (keyof PhaseRecord)[];

/**
 * Returns metrics.csv: a header, then one line per record, with the numbers of metrics.jsonl. Runs of several ranks
 * have one more column.
 */
export function metricsCsv(records: readonly PhaseRecord[]): string {
  const shared = records.some(({ allReduceSeconds }) => allReduceSeconds !== undefined);
  const columns = shared ? ([...METRICS, 'allReduceSeconds'] as const) : METRICS;
  const lines = records.map((record) => csvLine(columns.map((name) => record[name] ?? null)));
  return csvLine(columns) + lines.join('');
}
