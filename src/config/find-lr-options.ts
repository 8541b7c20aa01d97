/** Options of the learning-rate range test: one table, types and checks. */

import { integer, number, resolveOptions, type Values } from './options.js';
import { TRAIN_OPTIONS, resolveTrainOptions } from './train-options.js';
import type { ResolvedOptions, TrainOptions } from './train-options.js';
import { SETTINGS, tableWith, type SettingsWith } from './train-settings.js';
import { Validator, type Naming } from './validator.js';

/** Options of `train` that a range test has, too: those that change a step or say where it runs. */
export const SHARED_WITH_TRAIN = tableWith(TRAIN_OPTIONS, 'findLr');

/** The learning rates of a range test. Higher ones than that of `lr` are not tested. */
export const RANGE_OPTIONS = {
  /** Learning rate of the first step, above 0. Default 1e-6. */
  minLr: number(1e-6, [0, SETTINGS.lr.max], {
    help: 'learning rate of the first step',
  }),
  /** Learning rate of the last step, above `minLr`, at most 1000. Default 1. */
  maxLr: number(1, [0, SETTINGS.lr.max], {
    help: 'learning rate of the last step',
  }),
  /** Steps from the first rate to the last, 10 to 10,000. Default 100. */
  steps: integer(100, [10, 10_000], {
    help: 'steps between the two rates',
    docs: 'steps between the two rates; the test ends early if the loss runs away',
  }),
};

/**
 * The learning rates of a range test.
 *
 * @interface
 */
export type Range = Values<typeof RANGE_OPTIONS>;

type InCode = 'trainDataset' | 'valDataset' | 'signal' | 'onEvent';
type SharedName = SettingsWith<'findLr'> | 'data' | 'arch' | 'inputSize' | 'artifacts' | InCode;

/** Options of `findLr()`: `data`, or both data sets, and any settings that differ from the defaults. */
export interface FindLrOptions extends Pick<TrainOptions, SharedName>, Partial<Range> {}

/**
 * Fills in the defaults and checks everything that can be checked before the data is read.
 *
 * @throws ConfigError naming the first value that is not acceptable.
 */
export function resolveFindLr(
  options: Readonly<Partial<Record<keyof FindLrOptions, unknown>>>,
  naming: Naming,
): { range: Range; config: ResolvedOptions } {
  const { minLr, maxLr, steps, ...rest } = options;
  const validator = new Validator(naming);
  const low = checkRate('minLr', minLr, 0, validator);
  const high = checkRate('maxLr', maxLr, low, validator);
  const { steps: count } = resolveOptions({ steps: RANGE_OPTIONS.steps }, { steps }, validator);
  return {
    range: { minLr: low, maxLr: high, steps: count },
    config: resolveTrainOptions(rest, naming),
  };
}

/** Checks a rate that must be above `low`, which itself is not acceptable. */
function checkRate(
  name: 'minLr' | 'maxLr',
  given: unknown,
  low: number,
  validator: Validator,
): number {
  const { default: usual, max } = RANGE_OPTIONS[name];
  const value = given ?? usual;
  if (typeof value === 'number' && value > low && value <= max) return value;
  const bound = name === 'minLr' ? '0' : `${validator.name('minLr')} (${low})`;
  const expected = `a number above ${bound}, at most ${max}`;
  throw validator.error(name, expected, value, `the default is ${usual}`);
}
