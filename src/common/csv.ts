/** Comma-separated values, as RFC 4180 has them. */

import type { PhaseRecord } from './events.js';

export type CsvValue = string | number | null;

/** One line, with its end. Text with a comma, a quote or a line break is quoted; null is empty. */
export function csvLine(values: readonly CsvValue[]): string {
  const fields = values.map((value) => {
    const text = String(value ?? '');
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  });
  return `${fields.join(',')}\n`;
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
 * metrics.csv: a header, then a line a record; the numbers are those of metrics.jsonl. Runs of several ranks
 * have a column more.
 */
export function metricsCsv(records: readonly PhaseRecord[]): string {
  const shared = records.some(({ allReduceSeconds }) => allReduceSeconds !== undefined);
  const columns = shared ? ([...METRICS, 'allReduceSeconds'] as const) : METRICS;
  const lines = records.map((record) => csvLine(columns.map((name) => record[name] ?? null)));
  return csvLine(columns) + lines.join('');
}
