/** Options of `predict`. */

import { ConfigError } from '../common/errors.js';
import type { DataRemark } from '../common/events.js';
import type { InputImage } from '../data/dataset.js';
import {
  type ClassifierSource,
  type ResolvedSource,
  SOURCE_NAMES,
  resolveSource,
} from './classifier-options.js';
import { integer, resolveOptions } from './options.js';
import { type Naming, Validator } from './validator.js';

/** The options of `predict` beside those of the network that are flags. */
export const PREDICT_OPTIONS = {
  top: integer(5, [1, 1_000_000], {
    help: 'most probable classes to show',
    docs: 'number of most probable classes to show',
  }),
};

/**
 * Images to classify. A text is a file, a folder (every image below it) or a pattern with `*`, `?`, `[abc]` or `**`.
 */
export type PredictImages =
  string | Iterable<string | InputImage> | AsyncIterable<string | InputImage>;

/** Options of `predict()`: a `run` or a `model`, and `images`. */
export type PredictOptions = ClassifierSource & {
  readonly images: PredictImages;
  /** Number of classes per image, the most probable first. Default 5. */
  readonly top?: number;
  /** Called with what is left out of a folder or pattern: once for each kind of thing. */
  readonly onRemark?: (remark: DataRemark) => void;
};

/** Names of the options of {@link PredictOptions}. */
const OPTIONS = [...SOURCE_NAMES, 'images', 'top', 'onRemark'] as const;

/** Options with every default filled in. */
export interface ResolvedPredictOptions {
  readonly source: ResolvedSource;
  readonly images: Exclude<PredictImages, string>;
  readonly top: number;
  readonly onRemark: ((remark: DataRemark) => void) | undefined;
}

/**
 * Fills in the defaults and checks the values, which may be of the wrong type (callers in JavaScript, text from the
 * command line).
 *
 * @param naming how messages name an option.
 * @throws ConfigError naming the first option that is unknown, wrong or missing.
 */
export function resolvePredictOptions(
  options: Readonly<Partial<Record<(typeof OPTIONS)[number], unknown>>>,
  naming: Naming,
): ResolvedPredictOptions {
  const validator = new Validator(naming);
  validator.known('predict', options, OPTIONS);
  const given = options.images;
  const images = typeof given === 'string' && given !== '' ? [given] : given;
  if (!isImages(images)) throw noImages(images, validator, naming);
  if (Array.isArray(images) && images.includes('')) throw emptyPath();
  const { top } = resolveOptions(PREDICT_OPTIONS, options, validator);
  if (options.onRemark !== undefined) validator.callback('onRemark', options.onRemark);
  const onRemark = options.onRemark as ResolvedPredictOptions['onRemark'];
  return { images, top, onRemark, source: resolveSource(options, validator) };
}

function isImages(value: unknown): value is Exclude<PredictImages, string> {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return value.length > 0;
  return Symbol.iterator in value || Symbol.asyncIterator in value;
}

/** Returns the error about a path that is an empty text. */
export function emptyPath(): ConfigError {
  return new ConfigError(
    'expected the path of an image, folder or pattern, got an empty one; check the variable that it came from',
  );
}

/** Returns the error about `images`, which on the command line are words and not a flag. */
function noImages(value: unknown, validator: Validator, naming: Naming): ConfigError {
  if (naming === 'flag') {
    return new ConfigError(
      'expected images, folders, patterns or - for standard input, got none; name some after the flags',
    );
  }
  const expected = 'images, folders or patterns';
  return validator.error('images', expected, value, 'give a list of paths, or one path');
}
