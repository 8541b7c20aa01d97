/**
 * Holds the interfaces of options, which are written by hand for their documentation, against their tables: every
 * option of a table is in the interface, with the type that the table gives it. The compiler checks this file; a row
 * of `AGREE` whose type is not `true` does not compile.
 */

import { expect, test } from '@jest/globals';
import type {
  CLASSIFIER_OPTIONS,
  ClassifierSource,
} from '../../../src/config/classifier-options.js';
import type { EVALUATE_OPTIONS, EvaluateOptions } from '../../../src/config/evaluate-options.js';
import type { EXPORT_OPTIONS, ExportOptions } from '../../../src/config/export-options.js';
import type { Values, OptionTable } from '../../../src/config/options.js';
import type { PREDICT_OPTIONS, PredictOptions } from '../../../src/config/predict-options.js';
import type { RUN_OPTIONS, TrainOptions } from '../../../src/config/train-options.js';

/** The part of an interface that a table describes, as if every option had to be given. */
type Described<T extends OptionTable, Options> = {
  readonly [Name in keyof T]-?: Name extends keyof Options
    ? Exclude<Options[Name], undefined>
    : never;
};

/** Whether two types accept the same values. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

type Agrees<T extends OptionTable, Options> = Same<Described<T, Options>, Values<T>>;

const AGREE: readonly [
  Agrees<Omit<typeof RUN_OPTIONS, 'resume'>, TrainOptions>,
  Agrees<typeof EXPORT_OPTIONS, ExportOptions>,
  Agrees<typeof CLASSIFIER_OPTIONS, ClassifierSource>,
  Agrees<typeof EVALUATE_OPTIONS, EvaluateOptions>,
  Agrees<typeof PREDICT_OPTIONS, PredictOptions>,
  // In code, `true` stands for the flag without a value.
  Same<Exclude<TrainOptions['resume'], undefined>, string | true>,
] = [true, true, true, true, true, true];

/** A table with one more option than its interface, and one of another type, do not agree. */
const DIFFER: readonly [
  Agrees<typeof EXPORT_OPTIONS & typeof PREDICT_OPTIONS, ExportOptions>,
  Agrees<typeof PREDICT_OPTIONS, { readonly top?: string }>,
] = [false, false];

test('interfaces of options and their tables agree', () => {
  expect([...AGREE, ...DIFFER]).toEqual([true, true, true, true, true, true, false, false]);
});
