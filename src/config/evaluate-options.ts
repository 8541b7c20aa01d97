/** Options of `evaluate`. */

import {
  type ClassifierSource,
  type ResolvedSource,
  SOURCE_NAMES,
  resolveSource,
} from './classifier-options.js';
import { resolveOptions } from './options.js';
import { type Naming, Validator } from './validator.js';

/** The options of `evaluate` beside those of the network. */
export const EVALUATE_OPTIONS = {
  data: {
    kind: 'folder',
    expected: 'a folder of labelled images',
    help: 'folder with CLASS/*, or with val/CLASS/* or test/CLASS/*',
    docs: 'folder with `CLASS/*`; or with split folders ([data.md](data.md#layouts)): `val/CLASS/*` is used, without it `test/CLASS/*`',
    required: true,
  },
} as const;

/** Options of `evaluate()`: a `run` or a `model`, and `data`. */
export type EvaluateOptions = ClassifierSource & {
  /** Folder with `CLASS/*`; or with split folders, of which `val` is used, or else `test` (docs/data.md). */
  readonly data: string;
  /** Called after each image with the number of images classified so far. */
  readonly onImage?: (done: number) => void;
};

/** Names of the options of {@link EvaluateOptions}. */
const OPTIONS = [...SOURCE_NAMES, 'data', 'onImage'] as const;

/** Options with every default filled in. */
export interface ResolvedEvaluateOptions {
  readonly source: ResolvedSource;
  readonly data: string;
  readonly onImage: ((done: number) => void) | undefined;
}

/**
 * Fills in the defaults and checks the values, which may be of the wrong type (callers in JavaScript, text from the
 * command line).
 *
 * @param naming how messages name an option.
 * @throws ConfigError naming the first option that is unknown, wrong or missing.
 */
export function resolveEvaluateOptions(
  options: Readonly<Partial<Record<(typeof OPTIONS)[number], unknown>>>,
  naming: Naming,
): ResolvedEvaluateOptions {
  const validator = new Validator(naming);
  validator.known('evaluate', options, OPTIONS);
  const { data } = resolveOptions(EVALUATE_OPTIONS, options, validator);
  if (options.onImage !== undefined) validator.callback('onImage', options.onImage);
  const onImage = options.onImage as ResolvedEvaluateOptions['onImage'];
  return { data, onImage, source: resolveSource(options, validator) };
}
