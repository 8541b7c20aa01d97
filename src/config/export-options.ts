/** Options of `exportInference`. */

import path from 'node:path';
import { ConfigError } from '../common/errors.js';
import type { Dataset } from '../data/dataset.js';
import type { Compression } from '../onnx/compress-weights.js';
import { CHECKPOINTS, RUN_FOLDER } from './classifier-options.js';
import { boolean, choice, number, resolveOptions, type Resolved } from './options.js';
import { type Naming, Validator } from './validator.js';

/** Forms of smaller weights. */
const COMPRESSIONS = ['fp16', 'int8'] as const satisfies readonly Compression[];
/** Name of the exported file in the run folder, unless `out` says another. */
const DEFAULT_FILE = 'model.onnx';
/** Default of `maxAccuracyDrop`. */
const MAX_ACCURACY_DROP = 0.01;

/** The options of `export-inference` that are flags of the same name. */
export const EXPORT_OPTIONS = {
  run: { ...RUN_FOLDER, required: true },
  checkpoint: choice(CHECKPOINTS, 'best', {
    help: 'weights to export',
    docs: 'weights to export: `best` or `last`',
  }),
  out: {
    kind: 'text',
    expected: 'a file name',
    shownDefault: 'RUN/model.onnx',
    help: 'file to write',
  },
  rawImages: boolean({
    help: 'take decoded images: input image uint8 [H, W, 3], any size',
    docs: 'the file takes decoded images of any size (`image` uint8 [H, W, 3]) and does the preprocessing itself',
  }),
  probabilities: boolean({
    help: 'return probabilities in place of logits',
    docs: 'the file returns `probabilities` in place of `logits`',
  }),
  maxAccuracyDrop: number(MAX_ACCURACY_DROP, [0, 1], {
    help: 'share of accuracy that --fp16 or --int8 may cost',
    docs: 'share of accuracy that `--fp16` or `--int8` may cost; if they cost more, nothing is written',
  }),
  data: {
    kind: 'folder',
    expected: "the run's data folder",
    shownDefault: 'where it was in training',
    help: 'data folder of the run, to try the file on its validation images',
    docs: 'data folder of the run',
  },
  skipReplay: boolean({
    help: 'skip the check on the validation images',
  }),
  artifacts: {
    kind: 'folder',
    expected: 'an artifact folder',
    shownDefault: 'the one the run was trained with',
    help: 'artifact folder of the network',
  },
} as const;

/** Options of `exportInference()`: a `run`, and the form of the model. */
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
export type ResolvedExportOptions = Resolved<typeof EXPORT_OPTIONS> & {
  readonly out: string;
  readonly compression: Compression | undefined;
  readonly valDataset: Dataset | undefined;
};

const NAMES = [...Object.keys(EXPORT_OPTIONS), 'compression', 'valDataset'];

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
  validator.known('exportInference', options, NAMES);
  const resolved = resolveOptions(EXPORT_OPTIONS, options, validator);
  const compression =
    options.compression === undefined
      ? undefined
      : validator.choice('compression', options.compression, COMPRESSIONS);
  if (compression !== undefined && resolved.skipReplay) {
    const shown = naming === 'flag' ? `--${compression}` : 'compression';
    throw new ConfigError(
      `expected ${validator.name('skipReplay')} without ${shown}, got both; what ${compression} costs must be measured`,
    );
  }
  if (compression === undefined && options.maxAccuracyDrop !== undefined) {
    const [name, form] = [
      validator.name('maxAccuracyDrop'),
      naming === 'flag' ? '--fp16 or --int8' : 'compression',
    ];
    throw new ConfigError(
      `expected ${name} with ${form}, got it alone; leave it out, or add ${form}`,
    );
  }
  return {
    ...resolved,
    out: resolved.out ?? path.join(resolved.run, DEFAULT_FILE),
    compression,
    valDataset: validator.dataset('valDataset', options.valDataset),
  };
}
