/** Training settings: defaults, ranges and validation, for the library and the command line alike. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { ARCHITECTURES, type Arch } from '../artifacts/manifest.js';
import type { Dataset } from '../data/dataset.js';
import type { TrainEvent } from '../common/events.js';
import {
  CACHES,
  DEVICES,
  FREEZE,
  type NumericSetting,
  ON_BAD_IMAGE,
  RANGES,
  SCHEDULES,
  TRAIN_DEFAULTS,
  type TrainSettings,
} from './train-settings.js';
import { Validator, type Naming } from './validator.js';

export * from './train-settings.js';
export { Validator, flagName, rangeText, type Naming, type NumberRange } from './validator.js';

/** What `train()` takes: `data`, or both data sets, and any settings that differ from the defaults. */
export interface TrainOptions extends Partial<TrainSettings> {
  /** Folder with `train/CLASS/*` and `val/CLASS/*`; without `val`, or with `CLASS/*` only, it is split. */
  readonly data?: string;
  /** Replaces `data/train`. Its `classes` are the model's. */
  readonly trainDataset?: Dataset;
  /** Replaces `data/val`. */
  readonly valDataset?: Dataset;
  /** Which network, of those that come with the package. Default `resnet18`. */
  readonly arch?: Arch;
  /** In place of `arch`: an artifact folder, for example for another input size. */
  readonly artifacts?: string;
  /** Run folder, new or empty. Default: the next free `runs/train-N`. */
  readonly out?: string;
  /**
   * Goes on where an earlier run stopped: its run folder, one of its checkpoints, or `true` for the newest
   * run in `runs`. Settings that are not given are the run's own; those that would change the result must
   * be the same.
   */
  readonly resume?: string | true;
  /**
   * Stops the run when it aborts: after the step under way a checkpoint is written, and `train` throws an
   * InterruptedError.
   */
  readonly signal?: AbortSignal;
  /** Called with everything there is to report, as it comes. */
  readonly onEvent?: (event: TrainEvent) => void;
}

/** Options with every default filled in. */
export interface ResolvedOptions
  extends TrainSettings, Omit<TrainOptions, keyof TrainSettings | 'out'> {
  readonly out: string;
}

/** `runs/<name>-N`, N one more than the highest there is in `parent`. */
export function nextRunDir(name = 'train', parent = 'runs'): string {
  const pattern = new RegExp(`^${name}-(\\d{1,9})$`);
  const names = existsSync(parent) ? readdirSync(parent) : [];
  const taken = names.map((entry) => Number(pattern.exec(entry)?.[1] ?? 0));
  return path.join(parent, `${name}-${Math.max(0, ...taken) + 1}`);
}

/** What keeps `dir` from being made: the nearest of its parents that exists, if it is no folder. */
function fileAbove(dir: string): string | null {
  let above = path.resolve(dir);
  while (!existsSync(above)) {
    // A Windows drive that is not there.
    if (path.dirname(above) === above) return null;
    above = path.dirname(above);
  }
  return statSync(above).isDirectory() ? null : above;
}

function checkOut(out: string, validator: Validator): string {
  const expected = 'a new or empty folder';
  if (!existsSync(out)) {
    const file = fileAbove(out);
    if (file === null) return out;
    throw validator.error('out', expected, out, `${file} is a file; choose another name`);
  }
  const advice = 'it exists already; choose another name or delete it';
  if (!statSync(out).isDirectory()) throw validator.error('out', expected, out, advice);
  if (readdirSync(out).length > 0) throw validator.error('out', expected, out, advice);
  return out;
}

function checkWeights(weights: unknown, validator: Validator, resuming: boolean): string {
  const expected = 'imagenet, random or a .safetensors or .pth file';
  // A resumed run does not read its initial weights again: their file may be gone.
  if (resuming) return validator.text('weights', expected, weights);
  return validator.wordOrFile('weights', expected, weights, ['imagenet', 'random']);
}

function checkClassWeights(value: unknown, validator: Validator): string {
  const expected = 'none, auto or a JSON file of class names and weights';
  const words = ['none', 'auto'];
  const text = validator.wordOrFile('classWeights', expected, value, words);
  return words.includes(text) ? text : path.resolve(text);
}

/**
 * Fills in the defaults and checks everything that can be checked before the data is looked at.
 *
 * @param options values may be of the wrong type (callers in JavaScript, text from the command line).
 * With `resume`, the options must hold what {@link TrainOptions.resume} refers to already (resume.ts sees to
 * that); the run folder need not be empty then.
 *
 * @param naming how messages name an option; default `option`.
 * @throws ConfigError naming the first value that is not acceptable.
 */
export function resolveTrainOptions(
  options: Readonly<Partial<Record<keyof TrainOptions, unknown>>>,
  naming: Naming = 'option',
): ResolvedOptions {
  const validator = new Validator(naming);
  const value = (option: keyof TrainSettings): unknown =>
    options[option] === undefined ? TRAIN_DEFAULTS[option] : options[option];
  const number = (option: NumericSetting): number =>
    validator.number(option, value(option), { ...RANGES[option], default: TRAIN_DEFAULTS[option] });
  const given = options as TrainOptions;
  const resuming = given.resume !== undefined;
  const settings: TrainSettings = {
    weights: checkWeights(value('weights'), validator, resuming),
    epochs: number('epochs'),
    batchSize: number('batchSize'),
    lr: number('lr'),
    headLr: number('headLr'),
    freeze: validator.choice('freeze', value('freeze'), FREEZE),
    momentum: number('momentum'),
    nesterov: validator.boolean('nesterov', value('nesterov')),
    clipGradNorm: number('clipGradNorm'),
    weightDecay: number('weightDecay'),
    stepSize: number('stepSize'),
    gamma: number('gamma'),
    schedule: validator.choice('schedule', value('schedule'), SCHEDULES),
    warmupEpochs: number('warmupEpochs'),
    classWeights: checkClassWeights(value('classWeights'), validator),
    labelSmoothing: number('labelSmoothing'),
    valFraction: number('valFraction'),
    earlyStop: number('earlyStop'),
    workers: number('workers'),
    cache: validator.choice('cache', value('cache'), CACHES),
    cacheMegabytes: number('cacheMegabytes'),
    seed: number('seed'),
    device: validator.choice('device', value('device'), DEVICES),
    threads: number('threads'),
    saveEvery: number('saveEvery'),
    keep: number('keep'),
    onBadImage: validator.choice('onBadImage', value('onBadImage'), ON_BAD_IMAGE),
  };
  if (settings.nesterov && settings.momentum === 0) {
    const expected = 'above 0 with Nesterov momentum';
    throw validator.error('momentum', expected, 0, `leave out ${validator.name('nesterov')}`);
  }
  const needsFolder = given.trainDataset === undefined || given.valDataset === undefined;
  if (needsFolder || given.data !== undefined) {
    validator.folder(
      'data',
      'a folder with train/CLASS/* and val/CLASS/*, or CLASS/*',
      options.data,
    );
  }
  if (given.arch !== undefined) {
    validator.choice('arch', given.arch, ARCHITECTURES);
    if (given.artifacts !== undefined) {
      const expected = 'left out where the artifacts say which network';
      throw validator.error('arch', expected, given.arch, 'give one of the two');
    }
  }
  if (given.artifacts !== undefined) {
    validator.folder('artifacts', 'an artifact folder', options.artifacts);
  }
  const out = validator.text('out', 'a folder name', options.out ?? nextRunDir());
  return {
    ...settings,
    ...(given.data === undefined ? {} : { data: given.data }),
    ...(given.trainDataset === undefined ? {} : { trainDataset: given.trainDataset }),
    ...(given.valDataset === undefined ? {} : { valDataset: given.valDataset }),
    ...(given.arch === undefined ? {} : { arch: given.arch }),
    ...(given.artifacts === undefined ? {} : { artifacts: given.artifacts }),
    ...(given.onEvent === undefined ? {} : { onEvent: given.onEvent }),
    ...(given.signal === undefined ? {} : { signal: given.signal }),
    ...(given.resume === undefined ? {} : { resume: given.resume }),
    out: resuming ? out : checkOut(out, validator),
  };
}
