/** Options of `exportInference`. */

import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Compression } from '../onnx/compress-weights.js';
import { CHECKPOINTS } from './classifier-options.js';
import { type Naming, Validator } from './validator.js';

/** Forms of smaller weights. */
const COMPRESSIONS = ['fp16', 'int8'] as const satisfies readonly Compression[];
/** Name of the exported file in the run folder, unless `out` says another. */
const DEFAULT_FILE = 'model.onnx';
/** Default of `maxAccuracyDrop`. */
const MAX_ACCURACY_DROP = 0.01;

/** What `exportInference()` takes: a `run`, and the form of the model. */
export interface ExportOptions {
  /** Run folder of an earlier training. */
  readonly run: string;
  /** Which weights of the run. Default `best`. */
  readonly checkpoint?: (typeof CHECKPOINTS)[number];
  /** File to write. Default: `model.onnx` in the run folder. */
  readonly out?: string;
  /** Artifact folder. Default: the one the run was trained with. */
  readonly artifacts?: string;
  /** Whether the model takes decoded images of any size: input `image` uint8 [H, W, 3]. Default false. */
  readonly rawImages?: boolean;
  /** Whether the output is `probabilities` in place of `logits`. Default false. */
  readonly probabilities?: boolean;
  /** Stores the weights in fewer bits. Needs the validation images, to measure what it costs. Default: float32. */
  readonly compression?: Compression;
  /** Share of accuracy that `compression` may cost, 0 to 1. Default 0.01. */
  readonly maxAccuracyDrop?: number;
  /** Data folder of the run, whose validation images the file is tried on. Default: where it was in training. */
  readonly data?: string;
  /** Whether the file is not tried on the validation images. Default false. */
  readonly skipReplay?: boolean;
  /** Validation images of a run that was trained on data sets in code. */
  readonly valDataset?: Dataset;
}

/** Options with every default filled in. */
export interface ResolvedExportOptions {
  readonly run: string;
  readonly checkpoint: (typeof CHECKPOINTS)[number];
  readonly out: string;
  readonly artifacts: string | undefined;
  readonly rawImages: boolean;
  readonly probabilities: boolean;
  readonly compression: Compression | undefined;
  readonly maxAccuracyDrop: number;
  readonly data: string | undefined;
  readonly skipReplay: boolean;
  readonly valDataset: Dataset | undefined;
}

const OPTIONS = [
  'run',
  'checkpoint',
  'out',
  'artifacts',
  'rawImages',
  'probabilities',
  'compression',
  'maxAccuracyDrop',
  'data',
  'skipReplay',
  'valDataset',
] as const satisfies readonly (keyof ExportOptions)[];

/**
 * Fills in the defaults and checks the values, which may be of the wrong type (callers in JavaScript, text from the
 * command line).
 *
 * @param naming how messages name an option.
 * @throws ConfigError naming the first option that is unknown, wrong or missing.
 */
export function resolveExportOptions(
  options: Readonly<Partial<Record<keyof ExportOptions, unknown>>>,
  naming: Naming,
): ResolvedExportOptions {
  const validator = new Validator(naming);
  validator.known('exportInference', options, OPTIONS);
  const run = validator.folder('run', 'the folder of an earlier training', options.run);
  const compression =
    options.compression === undefined
      ? undefined
      : validator.choice('compression', options.compression, COMPRESSIONS);
  const skipReplay = validator.boolean('skipReplay', options.skipReplay ?? false);
  if (compression !== undefined && skipReplay) {
    const shown = naming === 'flag' ? `--${compression}` : 'compression';
    throw new ConfigError(
      `expected ${validator.name('skipReplay')} without ${shown}, got both; what ${compression} costs must be measured`,
    );
  }
  const folder = (option: 'artifacts' | 'data', expected: string): string | undefined => {
    const value = options[option];
    return value === undefined ? undefined : validator.folder(option, expected, value);
  };
  const drop = { integer: false, min: 0, max: 1, default: MAX_ACCURACY_DROP };
  return {
    run,
    checkpoint: validator.choice('checkpoint', options.checkpoint ?? 'best', CHECKPOINTS),
    out: validator.text('out', 'a file name', options.out ?? path.join(run, DEFAULT_FILE)),
    artifacts: folder('artifacts', 'an artifact folder'),
    rawImages: validator.boolean('rawImages', options.rawImages ?? false),
    probabilities: validator.boolean('probabilities', options.probabilities ?? false),
    compression,
    maxAccuracyDrop: validator.number(
      'maxAccuracyDrop',
      options.maxAccuracyDrop ?? drop.default,
      drop,
    ),
    data: folder('data', "the run's data folder"),
    skipReplay,
    valDataset: validator.dataset('valDataset', options.valDataset),
  };
}
