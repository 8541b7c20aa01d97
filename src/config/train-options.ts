/** Options of `train`, of the library and the command line alike: types and checks. */

import { architectures, buildAdvice, DEFAULT_ARCH } from '../artifacts/node/bundled-artifacts.js';
import type { TrainEvent } from '../common/events.js';
import type { Dataset } from '../data/dataset.js';
import { isMainProcess } from '../distributed/launcher.js';
import { checkOption, resolveOptions, type Option } from './options.js';
import { checkOut, nextRunDir } from './run-dir.js';
import { SETTINGS, type Attributes, type TrainSettings } from './train-settings.js';
import { Validator, type Naming } from './validator.js';

/** The options of `train` beside its settings, as flags. {@link TrainOptions} has their types. */
export const RUN_OPTIONS = {
  data: {
    kind: 'folder',
    expected: 'a folder with train/CLASS/* and val/CLASS/*, or CLASS/*',
    help: 'folder with train/CLASS/* and val/CLASS/*, or CLASS/*',
    docs: 'folder with `train/CLASS/*` and `val/CLASS/*`, or with `train/CLASS/*` or `CLASS/*` alone, which is then split; [data.md](data.md) has all layouts and names',
    required: true,
    findLr: true,
    local: true,
  },
  out: {
    kind: 'text',
    expected: 'a folder name',
    value: 'DIR',
    shownDefault: 'the next free runs/train-N',
    help: 'run folder, new or empty',
    local: true,
  },
  resume: {
    kind: 'text',
    expected: 'a run folder or a checkpoint',
    value: 'R',
    shownDefault: 'a new run',
    help: 'continue an earlier run: its folder, a checkpoint, or no value for the newest in runs',
    docs: 'continue an earlier run: its folder, one of its checkpoints, or no value for the newest run in `runs`',
  },
  arch: {
    kind: 'choice',
    /** The networks that were built, read from the disk when they are needed. */
    get choices() {
      return architectures();
    },
    advice: (arch: string) => `choose one of these, or build it with "${buildAdvice(arch)}"`,
    value: 'A',
    shownDefault: DEFAULT_ARCH,
    help: 'network',
    docs: 'network: one of those that `--help` lists, or another after `npm run artifacts -- --arch A` in a clone',
    findLr: true,
  },
  inputSize: {
    kind: 'integer',
    min: 8,
    max: 4096,
    shownDefault: "the network's own",
    help: 'side of the input in pixels',
    docs: "side of the input in pixels; another than the network's own needs `npm run artifacts -- --arch A --input-size N` in a clone",
    findLr: true,
  },
  artifacts: {
    kind: 'folder',
    expected: 'an artifact folder',
    shownDefault: "the package's for --arch",
    help: 'artifact folder to use in place of --arch; it determines the network and the input size',
    docs: 'artifact folder to use in place of `--arch`; it determines the network and the input size',
    findLr: true,
    local: true,
  },
} as const satisfies Readonly<Record<string, Option & Attributes>>;

/** Options of `train()`: `data`, or both data sets, and any settings that differ from the defaults. */
export interface TrainOptions extends Partial<TrainSettings> {
  /**
   * Folder with `train/CLASS/*` and `val/CLASS/*`; without `val`, or with `CLASS/*` only, it is split. docs/data.md has
   * all layouts and names.
   */
  readonly data?: string;
  /** Replaces `data/train`. Its `classes` are the model's. */
  readonly trainDataset?: Dataset;
  /** Replaces `data/val`. */
  readonly valDataset?: Dataset;
  /** One of `architectures()`: the networks that come with the package or were built. Default `resnet18`. */
  readonly arch?: string;
  /** Side of the input in pixels. Default: the network's own; another needs artifacts that were built for it. */
  readonly inputSize?: number;
  /** Artifact folder to use in place of `arch`, for example for another input size. */
  readonly artifacts?: string;
  /** Run folder, new or empty. Default: the next free `runs/train-N`. */
  readonly out?: string;
  /**
   * Run to continue: its run folder, one of its checkpoints, or `true` for the newest run in `runs`. Settings that
   * are not given are the run's own; those that would change the result must be the same.
   */
  readonly resume?: string | true;
  /**
   * Signal that stops the run: after the current step a checkpoint is written, and `train` throws an
   * InterruptedError.
   */
  readonly signal?: AbortSignal;
  /** Called with each event of the run. */
  readonly onEvent?: (event: TrainEvent) => void;
}

/** Options with every default filled in. */
export interface ResolvedOptions
  extends TrainSettings, Omit<TrainOptions, keyof TrainSettings | 'out'> {
  readonly out: string;
}

const { data, out, ...network } = RUN_OPTIONS;
/** All options of `train` that are flags, in the order of `--help`. */
export const TRAIN_OPTIONS = { data, out, ...SETTINGS, ...network };

/**
 * The settings of who does not read the initial weights, so that their file may be missing: a resumed run, and the ranks
 * to which rank 0 sends the state.
 */
const SETTINGS_WITHOUT_WEIGHTS = {
  ...SETTINGS,
  weights: { ...SETTINGS.weights, kind: 'text' },
} as const;

type Unchecked = Readonly<Partial<Record<keyof TrainOptions, unknown>>>;

/**
 * Fills in the defaults and checks everything that can be checked before the data is read.
 *
 * @param options values may be of the wrong type (callers in JavaScript, text from the command line). With `resume`,
 * they must already hold the settings of the run that {@link TrainOptions.resume} refers to, and the run folder need
 * not be empty.
 * @param naming how messages name an option; default `option`.
 * @throws ConfigError naming the first value that is not acceptable.
 */
export function resolveTrainOptions(
  options: Unchecked,
  naming: Naming = 'option',
): ResolvedOptions {
  const validator = new Validator(naming);
  const resuming = options.resume !== undefined;
  const readsWeights = !resuming && isMainProcess();
  const table = readsWeights ? SETTINGS : SETTINGS_WITHOUT_WEIGHTS;
  const settings = resolveOptions(table, options, validator);
  if (settings.nesterov && settings.momentum === 0) {
    const expected = 'above 0 with Nesterov momentum';
    throw validator.error('momentum', expected, 0, `leave out ${validator.name('nesterov')}`);
  }
  // A resumed run may have been started by a version that took it without a word.
  const { cache, cacheMegabytes } = settings;
  if (!resuming && cache === 'none' && cacheMegabytes !== SETTINGS.cacheMegabytes.default) {
    const expected = `left out without ${validator.name('cache')} ram`;
    throw validator.error('cacheMegabytes', expected, cacheMegabytes, 'leave it out, or add that');
  }
  checkInputs(options, validator);
  const out = checkOption('out', RUN_OPTIONS.out, options.out ?? nextRunDir(), validator) as string;
  const { data, trainDataset, valDataset, arch, inputSize, artifacts, onEvent, signal, resume } =
    options as TrainOptions;
  return {
    ...settings,
    ...(data === undefined ? {} : { data }),
    ...(trainDataset === undefined ? {} : { trainDataset }),
    ...(valDataset === undefined ? {} : { valDataset }),
    ...(arch === undefined ? {} : { arch }),
    ...(inputSize === undefined ? {} : { inputSize }),
    ...(artifacts === undefined ? {} : { artifacts }),
    ...(onEvent === undefined ? {} : { onEvent }),
    ...(signal === undefined ? {} : { signal }),
    ...(resume === undefined ? {} : { resume }),
    out: resuming ? out : checkOut(out, validator),
  };
}

/** Checks where the images and the network come from. */
function checkInputs(options: Unchecked, validator: Validator): void {
  const { data, arch, inputSize, artifacts } = options;
  const needsFolder = options.trainDataset === undefined || options.valDataset === undefined;
  if (needsFolder || data !== undefined) checkOption('data', RUN_OPTIONS.data, data, validator);
  if (arch !== undefined) {
    checkOption('arch', RUN_OPTIONS.arch, arch, validator);
    if (artifacts !== undefined) {
      const expected = 'left out where the artifacts say which network';
      throw validator.error('arch', expected, arch, 'give one of the two');
    }
  }
  if (inputSize !== undefined) {
    checkOption('inputSize', RUN_OPTIONS.inputSize, inputSize, validator);
  }
  if (artifacts !== undefined) {
    checkOption('artifacts', RUN_OPTIONS.artifacts, artifacts, validator);
  }
}
