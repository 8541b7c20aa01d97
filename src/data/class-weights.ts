/** Weights that let rare classes count for more in the training loss. */

import { ConfigError } from '../common/errors.js';
import type { Dataset } from './dataset.js';

/**
 * Returns the weight of each class in the training loss.
 *
 * @param setting `none`; `auto`, which weights a class with images / (classes * images of the class) as scikit-learn's
 *   `balanced` does; or the path of a JSON file that holds an object of class names and weights.
 * @param readText reads that file.
 * @returns undefined for `none`.
 * @throws ConfigError if the file is not such an object, lacks a class or names an unknown one.
 */
export async function resolveClassWeights(
  setting: string,
  dataset: Dataset,
  readText: (file: string) => Promise<string>,
): Promise<number[] | undefined> {
  const { classes, length } = dataset;
  if (setting === 'none') return undefined;
  if (setting !== 'auto') {
    return parseWeights(setting, await readText(setting).catch(() => ''), classes);
  }
  const counts = classes.map(() => 0);
  for (let index = 0; index < length; index++) {
    const { label } = await dataset.get(index);
    counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts.map((count) => (count === 0 ? 1 : length / (classes.length * count)));
}

function parseWeights(file: string, text: string, classes: readonly string[]): number[] {
  const refuse = (found: string): ConfigError =>
    new ConfigError(
      `expected a JSON object with a positive number for each class (${classes.slice(0, 5).join(', ')}) ` +
        `in ${file}, found ${found}; mend the file`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refuse('something that is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('something that is not an object');
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
