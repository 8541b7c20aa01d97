/** Settings of the learning-rate range test. */

import {
  type Naming,
  RANGES,
  type ResolvedOptions,
  type TrainOptions,
  Validator,
  rangeText,
  resolveTrainOptions,
} from './train-options.js';

/** The settings of training that change a step, or say where it runs. */
export const SHARED_OPTIONS = [
  'data',
  'weights',
  'batchSize',
  'freeze',
  'momentum',
  'nesterov',
  'clipGradNorm',
  'weightDecay',
  'classWeights',
  'labelSmoothing',
  'valFraction',
  'workers',
  'seed',
  'device',
  'threads',
  'onBadImage',
  'arch',
  'artifacts',
] as const satisfies readonly (keyof TrainOptions)[];

type InCode = 'trainDataset' | 'valDataset' | 'signal' | 'onEvent';

/** The rates of a range test. */
export interface Range {
  /** Of the first step, above 0. Default 1e-6. */
  readonly minLr: number;
  /** Of the last step, above `minLr`, at most 1000. Default 1. */
  readonly maxLr: number;
  /** From the one to the other, 10 to 10,000. Default 100. */
  readonly steps: number;
}

/** What `findLr()` takes: `data`, or both data sets, and any settings that differ from the defaults. */
export interface FindLrOptions
  extends Pick<TrainOptions, (typeof SHARED_OPTIONS)[number] | InCode>, Partial<Range> {}

/** The numbers' defaults. */
export const RANGE_DEFAULTS = { minLr: 1e-6, maxLr: 1, steps: 100 } as const;

const STEPS = { min: 10, max: 10_000 } as const;

/**
 * Fills in the defaults and checks everything that can be checked before the data is looked at.
 *
 * @throws ConfigError naming the first value that is not acceptable.
 */
export function resolveFindLr(
  options: Readonly<Partial<Record<keyof FindLrOptions, unknown>>>,
  naming: Naming,
): { range: Range; config: ResolvedOptions } {
  const { minLr, maxLr, steps, ...rest } = options;
  const validator = new Validator(naming);
  const check = (
    option: keyof Range,
    given: unknown,
    expected: string,
    isGood: (value: number) => boolean,
  ): number => {
    const value = given ?? RANGE_DEFAULTS[option];
    if (typeof value === 'number' && isGood(value)) return value;
    throw validator.error(option, expected, value, `the default is ${RANGE_DEFAULTS[option]}`);
  };
  const low = check('minLr', minLr, 'a number above 0', (value) => value > 0 && value < Infinity);
  const above = `a number above ${validator.name('minLr')} (${low}), at most ${RANGES.lr.max}`;
  const high = check('maxLr', maxLr, above, (value) => value > low && value <= RANGES.lr.max);
  const whole = rangeText({ integer: true, ...STEPS });
  const count = check('steps', steps, whole, (value) => {
    return Number.isInteger(value) && value >= STEPS.min && value <= STEPS.max;
  });
  return {
    range: { minLr: low, maxLr: high, steps: count },
    config: resolveTrainOptions(rest, naming),
  };
}
