/** Weights that let rare classes count for more in the training loss. */

import { ConfigError } from '../common/errors.js';
import { messageOf } from '../common/format.js';
import { decodeJson } from '../common/json.js';
import { composed } from '../common/text.js';
import type { Dataset } from './dataset.js';

/**
 * Returns the weight of each class in the training loss.
 *
 * @param setting `none`; `auto`, which weights a class with images / (classes * images of the class) as scikit-learn's
 *   `balanced` does; or the path of a JSON file that holds an object of class names and weights.
 * @param read reads the bytes of that file.
 * @returns undefined for `none`.
 * @throws ConfigError if the file is not such an object, lacks a class or names an unknown one.
 */
export async function resolveClassWeights(
  setting: string,
  dataset: Dataset,
  read: (file: string) => Promise<Uint8Array>,
): Promise<number[] | undefined> {
  const { classes, length } = dataset;
  if (setting === 'none') return undefined;
  if (setting !== 'auto') {
    return parseWeights(setting, await read(setting).catch(() => null), classes);
  }
  const counts = classes.map(() => 0);
  for (let index = 0; index < length; index++) {
    const { label } = await dataset.get(index);
    counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts.map((count) => (count === 0 ? 1 : length / (classes.length * count)));
}

function parseWeights(
  file: string,
  bytes: Uint8Array | null,
  classes: readonly string[],
): number[] {
  const refuse = (found: string): ConfigError =>
    new ConfigError(
      `expected a JSON object with a positive number for each class (${classes.slice(0, 5).join(', ')}) ` +
        `in ${file}, found ${found}; mend the file`,
    );
  if (bytes === null) throw refuse('no file that can be read');
  let value: unknown;
  try {
    value = decodeJson(bytes);
  } catch (cause) {
    throw refuse(messageOf(cause));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('something that is not an object');
  }
  const known = new Set(classes.map(composed));
  const weights = new Map<string, unknown>();
  for (const [name, weight] of Object.entries(value)) {
    const key = composed(name);
    if (!known.has(key)) throw refuse(`the class ${JSON.stringify(name)}, which is unknown`);
    if (weights.has(key)) throw refuse(`the class ${JSON.stringify(name)} twice`);
    weights.set(key, weight);
  }
  return classes.map((name) => {
    const weight = weights.get(composed(name));
    if (typeof weight === 'number' && weight > 0 && Number.isFinite(weight)) return weight;
    throw refuse(`${JSON.stringify(weight ?? null)} for ${JSON.stringify(name)}`);
  });
}
