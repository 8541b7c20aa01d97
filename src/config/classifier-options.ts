/** Options of `evaluate` and `predict`: the trained network that answers, and what it may use of the machine. */

import { ConfigError } from '../common/errors.js';
import { choice, integer, resolveOptions } from './options.js';
import { SETTINGS } from './train-settings.js';
import type { Validator } from './validator.js';

/** The two checkpoints that a run keeps: its best epoch, and its last. */
export const CHECKPOINTS = ['best', 'last'] as const;

/** The run that a network comes from. */
export const RUN_FOLDER = {
  kind: 'folder',
  expected: 'the folder of an earlier training',
  help: 'run folder of an earlier training',
} as const;

/** The options that say which network classifies: that of a run, or a model file. */
export const NETWORK_OPTIONS = {
  run: {
    ...RUN_FOLDER,
    shownDefault: 'none',
    docs: 'run folder of an earlier training; `--run` or `--model` is required',
  },
  checkpoint: choice(CHECKPOINTS, 'best', {
    help: 'weights of the run',
    docs: 'with `--run`: `best` or `last`',
  }),
  model: {
    kind: 'text',
    expected: 'a model file',
    shownDefault: 'none',
    help: 'model file of export-inference, in place of --run',
    docs: 'file of `export-inference`, in place of `--run`',
  },
} as const;

/** The options that say how the network is run. */
export const CLASSIFIER_OPTIONS = {
  workers: integer(SETTINGS.workers.default, [SETTINGS.workers.min, SETTINGS.workers.max], {
    help: SETTINGS.workers.help,
  }),
  threads: SETTINGS.threads,
  artifacts: {
    kind: 'folder',
    expected: 'an artifact folder',
    shownDefault: "the run's, or the package's for the model's network",
    help: 'artifact folder of the network',
  },
} as const;

const SOURCE = { ...NETWORK_OPTIONS, ...CLASSIFIER_OPTIONS };

/** Artifacts of a network, and the part of the machine that it may use. */
export interface ClassifierMachine {
  /** Artifact folder. Default: the run's, or the package's own for the model's network. */
  readonly artifacts?: string;
  /** Threads that decode and transform images, 1 to 64. Default 4. */
  readonly workers?: number;
  /** CPU threads of ONNX Runtime, 0 to 256; 0 leaves the number to ONNX Runtime. Default 0. */
  readonly threads?: number;
}

/** The network of a run. */
export interface RunSource extends ClassifierMachine {
  /** Run folder of an earlier training. */
  readonly run: string;
  /** Which weights of the run. Default `best`. */
  readonly checkpoint?: (typeof CHECKPOINTS)[number];
  readonly model?: undefined;
}

/** The network of a model file. */
export interface ModelSource extends ClassifierMachine {
  /** Model file that `exportInference` wrote. */
  readonly model: string;
  readonly run?: undefined;
  readonly checkpoint?: undefined;
}

/** A trained network: that of a run, or that of a model file. */
export type ClassifierSource = RunSource | ModelSource;

/** Names of the options of {@link ClassifierSource}. */
export const SOURCE_NAMES = Object.keys(SOURCE) as (keyof typeof SOURCE)[];

/** A source with every default filled in. */
export interface ResolvedSource {
  readonly from:
    | { readonly run: string; readonly checkpoint: (typeof CHECKPOINTS)[number] }
    | { readonly model: string };
  readonly artifacts?: string | undefined;
  readonly workers: number;
  readonly threads: number;
}

/**
 * Fills in the defaults and checks the values.
 *
 * @throws ConfigError naming the first option that is wrong or missing.
 */
export function resolveSource(
  options: Readonly<Partial<Record<keyof typeof SOURCE, unknown>>>,
  validator: Validator,
): ResolvedSource {
  const name = (option: string): string => validator.name(option);
  if ((options.run === undefined) === (options.model === undefined)) {
    const given = options.run === undefined ? 'neither' : 'both';
    throw new ConfigError(
      `expected ${name('run')} or ${name('model')}, got ${given}; give one of them`,
    );
  }
  if (options.model !== undefined && options.checkpoint !== undefined) {
    throw new ConfigError(
      `expected ${name('checkpoint')} with ${name('run')}, got it with ${name('model')}; leave it out`,
    );
  }
  const { run, model, checkpoint, ...machine } = resolveOptions(SOURCE, options, validator);
  if (run !== undefined) return { from: { run, checkpoint }, ...machine };
  return { from: { model: validator.text('model', SOURCE.model.expected, model) }, ...machine };
}
