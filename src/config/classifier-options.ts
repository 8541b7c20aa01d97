/** Options of `evaluate` and `predict`: the trained network that answers, and what it may use of the machine. */

import { ConfigError } from '../common/errors.js';
import { RANGES } from './train-settings.js';
import type { Validator } from './validator.js';

/** The two checkpoints that a run keeps: its best epoch, and its last. */
export const CHECKPOINTS = ['best', 'last'] as const;

/** What a network may use of the machine, and its artifacts. */
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
export const SOURCE_OPTIONS = [
  'run',
  'checkpoint',
  'model',
  'artifacts',
  'workers',
  'threads',
] as const;

/** A source with every default filled in. */
export interface ResolvedSource {
  readonly from:
    | { readonly run: string; readonly checkpoint: (typeof CHECKPOINTS)[number] }
    | { readonly model: string };
  readonly artifacts: string | undefined;
  readonly workers: number;
  readonly threads: number;
}

/**
 * Fills in the defaults and checks the values.
 *
 * @throws ConfigError naming the first option that is wrong or missing.
 */
export function resolveSource(
  options: Readonly<Partial<Record<(typeof SOURCE_OPTIONS)[number], unknown>>>,
  validator: Validator,
): ResolvedSource {
  const { run, model, checkpoint, artifacts, workers = 4, threads = 0 } = options;
  const name = (option: string): string => validator.name(option);
  if ((run === undefined) === (model === undefined)) {
    const given = run === undefined ? 'neither' : 'both';
    throw new ConfigError(
      `expected ${name('run')} or ${name('model')}, got ${given}; give one of them`,
    );
  }
  const machine = {
    artifacts:
      artifacts === undefined
        ? undefined
        : validator.folder('artifacts', 'an artifact folder', artifacts),
    workers: validator.number('workers', workers, { ...RANGES.workers, default: 4 }),
    threads: validator.number('threads', threads, { ...RANGES.threads, default: 0 }),
  };
  if (model !== undefined) {
    if (checkpoint !== undefined) {
      throw new ConfigError(
        `expected ${name('checkpoint')} with ${name('run')}, got it with ${name('model')}; leave it out`,
      );
    }
    return { from: { model: validator.text('model', 'a model file', model) }, ...machine };
  }
  const from = {
    run: validator.folder('run', 'the folder of an earlier training', run),
    checkpoint: validator.choice('checkpoint', checkpoint ?? 'best', CHECKPOINTS),
  };
  return { from, ...machine };
}
