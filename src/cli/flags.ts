/** The command line's flags as data: help text, and the way from text to options. */

import { ARCHITECTURES } from '../artifacts/manifest.js';
import {
  CACHES,
  DEVICES,
  FREEZE,
  type NumericSetting,
  RANGES,
  SCHEDULES,
  TRAIN_DEFAULTS,
  type TrainOptions,
  type TrainSettings,
  flagName,
} from '../config/train-options.js';
import { ConfigError } from '../common/errors.js';
import { nearest } from '../common/nearest.js';

export interface Flag {
  readonly describe: string;
  /** What the help shows as the default. */
  readonly shownDefault?: string;
  /** It takes no value. */
  readonly boolean?: true;
}

/** What yargs hands over: with number parsing off, text, `true` for a flag without value, or both. */
export type Arguments = Readonly<Record<string, unknown>>;

function numeric(option: NumericSetting, what: string): Flag {
  const { min, max } = RANGES[option];
  return {
    describe: `${what} (${min} to ${max})`,
    shownDefault: String(TRAIN_DEFAULTS[option]),
  };
}

const TRAIN_OPTION_FLAGS: Readonly<
  Record<Exclude<keyof TrainOptions, 'trainDataset' | 'valDataset' | 'onEvent' | 'signal'>, Flag>
> = {
  data: { describe: 'Folder with train/CLASS/* and val/CLASS/*, or CLASS/* (required)' },
  out: {
    describe: 'Run folder, new or empty',
    shownDefault: 'the next free runs/train-N',
  },
  weights: {
    describe: 'Initial weights: imagenet, random, or a .safetensors or .pth file',
    shownDefault: TRAIN_DEFAULTS.weights,
  },
  epochs: numeric('epochs', 'Passes over the training images'),
  batchSize: numeric('batchSize', 'Images a step'),
  lr: numeric('lr', 'Learning rate of the first epochs'),
  headLr: numeric('headLr', 'Learning rate of the last layer; 0 is the same as --lr'),
  freeze: {
    describe: `What does not learn: ${FREEZE.join(', ')} (all but the last layer)`,
    shownDefault: TRAIN_DEFAULTS.freeze,
  },
  momentum: numeric('momentum', 'Momentum of SGD'),
  nesterov: { describe: 'Nesterov momentum', boolean: true },
  clipGradNorm: numeric('clipGradNorm', 'Largest norm of the gradients; 0 is no clipping'),
  weightDecay: numeric('weightDecay', 'Weight decay of SGD'),
  stepSize: numeric('stepSize', 'Epochs between two drops of the learning rate'),
  gamma: numeric('gamma', 'Factor of each drop of the learning rate'),
  schedule: {
    describe: `How the learning rate changes: ${SCHEDULES.join(', ')}`,
    shownDefault: TRAIN_DEFAULTS.schedule,
  },
  warmupEpochs: numeric('warmupEpochs', 'Epochs in which the learning rate grows from a third'),
  classWeights: {
    describe: 'How much each class counts in training: none, auto (rare ones more), or a JSON file',
    shownDefault: TRAIN_DEFAULTS.classWeights,
  },
  labelSmoothing: numeric('labelSmoothing', 'Label smoothing of the training loss'),
  valFraction: numeric('valFraction', 'Share of the images for validation where there is no val/'),
  earlyStop: numeric('earlyStop', 'Epochs without a better result that end the run; 0 is never'),
  workers: numeric('workers', 'Threads that decode and transform images'),
  cache: {
    describe: `Where decoded images are kept for later epochs: ${CACHES.join(', ')}`,
    shownDefault: TRAIN_DEFAULTS.cache,
  },
  cacheMegabytes: numeric('cacheMegabytes', 'With --cache ram: most memory for it, in MB'),
  seed: numeric('seed', 'Seed of order, crops, flips and fresh weights'),
  device: {
    describe: `Where to train: ${DEVICES.join(', ')} (auto: CUDA, else WebGPU on a real GPU, else CPU)`,
    shownDefault: TRAIN_DEFAULTS.device,
  },
  threads: numeric('threads', 'CPU threads of the runtime; 0 leaves it to the runtime'),
  saveEvery: numeric(
    'saveEvery',
    'Steps between checkpoints; one after each epoch is always written',
  ),
  keep: numeric('keep', 'Latest checkpoints to keep; the best one is kept always'),
  onBadImage: {
    describe:
      'Images found broken before the first step: stop, or skip (leaves them out, lists them)',
    shownDefault: TRAIN_DEFAULTS.onBadImage,
  },
  resume: {
    describe:
      'Go on with an earlier run: its folder, a checkpoint, or no value for the newest in runs',
    shownDefault: 'a new run',
  },
  arch: { describe: `Which network: ${ARCHITECTURES.join(', ')}`, shownDefault: 'resnet18' },
  artifacts: {
    describe: 'Artifact folder in place of --arch: which network, at what input size',
    shownDefault: "the package's for --arch",
  },
};

export const TRAIN_FLAGS: Readonly<Record<string, Flag>> = Object.fromEntries(
  Object.entries(TRAIN_OPTION_FLAGS).map(([option, flag]) => [flagName(option), flag]),
);

export const CONFIG_FLAGS: Readonly<Record<string, Flag>> = {
  config: {
    describe: 'File of settings, as config.json of an earlier run; flags win over it',
    shownDefault: 'none',
  },
};

export const EXPORT_FLAGS: Readonly<Record<string, Flag>> = {
  run: { describe: 'Run folder of an earlier training (required)' },
  checkpoint: { describe: 'Which weights: best or last', shownDefault: 'best' },
  out: { describe: 'File to write', shownDefault: 'RUN/model.onnx' },
  artifacts: {
    describe: 'Artifact folder of the network',
    shownDefault: 'the one the run was trained with',
  },
};

export const DEMO_FLAGS: Readonly<Record<string, Flag>> = {
  out: { describe: 'Run folder, new or empty', shownDefault: 'the next free runs/demo-N' },
  arch: TRAIN_OPTION_FLAGS.arch,
};

/** Flags every command has; they take no value. */
export const COMMON_FLAGS = ['verbose', 'help', 'version'] as const;

export const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Returns a flag's text as a number if it is one; any other value as it is, for the check to refuse. */
export function numberOrText(value: unknown): unknown {
  return typeof value === 'string' && NUMBER.test(value) ? Number(value) : value;
}

/** The arguments of `train` as options; text that is no number stays text, for the check to refuse. */
export function trainOptions(given: Arguments): Partial<Record<keyof TrainOptions, unknown>> {
  const options: Partial<Record<keyof TrainOptions, unknown>> = {};
  for (const option of Object.keys(TRAIN_OPTION_FLAGS) as (keyof typeof TRAIN_OPTION_FLAGS)[]) {
    const value = given[flagName(option)];
    if (value === undefined) continue;
    const wantsNumber = typeof TRAIN_DEFAULTS[option as keyof TrainSettings] === 'number';
    const isNumber = wantsNumber && typeof value === 'string' && NUMBER.test(value);
    options[option] = isNumber ? Number(value) : value;
  }
  return options;
}

/**
 * Refuses whatever the command does not know: other flags, more words than the command itself.
 *
 * @throws ConfigError naming the first one.
 */
export function refuseUnknown(
  command: string,
  given: Arguments,
  flags: Readonly<Record<string, Flag>>,
  takesWords = false,
): void {
  const known = [...Object.keys(flags), ...COMMON_FLAGS];
  for (const name of Object.keys(given)) {
    if (name === '_' || name === '$0' || known.includes(name)) continue;
    const similar = nearest(name, known);
    const advice =
      similar === undefined
        ? `see "${command} --help" for its flags`
        : `did you mean --${similar}?`;
    const dashes = name.length === 1 ? '-' : '--';
    throw new ConfigError(`expected a flag of "${command}", got ${dashes}${name}; ${advice}`);
  }
  const [, ...words] = given._ as (string | number)[];
  if (words.length > 0 && !takesWords) {
    throw new ConfigError(
      `expected only flags after "${command}", got "${words.join(' ')}"; ` +
        `with npm, flags go after two dashes: npm run ${command} -- --flag value`,
    );
  }
}
