/** Targets of the training loss: how much each class counts for each image. */

import { readFile } from 'node:fs/promises';
import type { Dataset } from '../data/dataset.js';
import { ConfigError } from '../common/errors.js';

/** What the training loss is beside plain cross entropy. */
export interface TargetSettings {
  /** Weight of each class; absent: all 1. */
  readonly classWeights?: readonly number[] | undefined;
  /** Share of each target that is spread over all classes; default 0. */
  readonly labelSmoothing?: number | undefined;
}

/**
 * Rows [N, C] whose loss -sum(T * log p) is the batch's mean as PyTorch's
 * `CrossEntropyLoss(weight, label_smoothing)` has it: with y the label, w the class weights and e the
 * smoothing, T[c] = ((1 - e) w[y] [c = y] + e / C w[c]) / (sum of w[y] over the batch).
 */
export function targetRows(
  labels: Int32Array,
  classes: number,
  { classWeights, labelSmoothing = 0 }: TargetSettings = {},
): Float32Array<ArrayBuffer> {
  const weight = (label: number): number => classWeights?.[label] ?? 1;
  const total = labels.reduce((sum, label) => sum + weight(label), 0);
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => {
    for (let c = 0; c < classes; c++) {
      const own = c === label ? (1 - labelSmoothing) * weight(label) : 0;
      targets[row * classes + c] = (own + (labelSmoothing / classes) * weight(c)) / total;
    }
  });
  return targets;
}

/**
 * The weight of each class.
 *
 * @param setting `none`, `auto` (images / (classes * images of the class), as scikit-learn's
 *   `balanced`), or a JSON file with an object of class names and weights.
 * @returns undefined for `none`.
 * @throws ConfigError for a file that is something else, lacks a class or knows another.
 */
export async function resolveClassWeights(
  setting: string,
  dataset: Dataset,
): Promise<number[] | undefined> {
  const { classes, length } = dataset;
  if (setting === 'none') return undefined;
  if (setting !== 'auto') return readWeights(setting, classes);
  const counts = classes.map(() => 0);
  for (let index = 0; index < length; index++) {
    const { label } = await dataset.get(index);
    counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts.map((count) => (count === 0 ? 1 : length / (classes.length * count)));
}

async function readWeights(file: string, classes: readonly string[]): Promise<number[]> {
  const refuse = (found: string): ConfigError =>
    new ConfigError(
      `expected a JSON object with a positive number for each class (${classes.slice(0, 5).join(', ')}) ` +
        `in ${file}, found ${found}; mend the file`,
    );
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch {
    throw refuse('something that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('no object');
  }
  const weights = new Map<string, unknown>(Object.entries(value));
  for (const name of weights.keys()) {
    if (!classes.includes(name))
      throw refuse(`the class ${JSON.stringify(name)}, which is unknown`);
  }
  return classes.map((name) => {
    const weight = weights.get(name);
    if (typeof weight === 'number' && weight > 0 && Number.isFinite(weight)) return weight;
    throw refuse(`${JSON.stringify(weight ?? null)} for ${JSON.stringify(name)}`);
  });
}
