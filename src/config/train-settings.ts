/** The settings of a run that have a default, and the ranges of the numbers among them. */

import type { NumberRange } from './validator.js';

/** Where a network can be trained; `auto` chooses. */
export const DEVICES = ['auto', 'cpu', 'cuda', 'webgpu'] as const;
/** One of {@link DEVICES}. */
export type Device = (typeof DEVICES)[number];

export const SCHEDULES = ['step', 'cosine', 'constant'] as const;
export type Schedule = (typeof SCHEDULES)[number];

export const FREEZE = ['none', 'backbone'] as const;
export type Freeze = (typeof FREEZE)[number];

export const ON_BAD_IMAGE = ['stop', 'skip'] as const;
export type OnBadImage = (typeof ON_BAD_IMAGE)[number];

export const CACHES = ['none', 'ram'] as const;
export type Cache = (typeof CACHES)[number];

/** The settings that have a default: PyTorch's transfer-learning tutorial's where it has them. */
export interface TrainSettings {
  /** `imagenet`, `random`, or the path of a `.safetensors` or `.pth` file. */
  readonly weights: string;
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  /** Learning rate of the last layer; 0 is the same as `lr`. The schedule applies to both. */
  readonly headLr: number;
  /**
   * `backbone`: only the last layer learns; the others are in evaluation mode, so that BatchNorm uses its
   * running statistics and leaves them as they are.
   */
  readonly freeze: Freeze;
  readonly momentum: number;
  /** Nesterov momentum, as PyTorch's SGD has it; needs a momentum above 0. */
  readonly nesterov: boolean;
  /**
   * Norm of all gradients together above which they are scaled down to it, as PyTorch's `clip_grad_norm_`;
   * 0 is no clipping.
   */
  readonly clipGradNorm: number;
  /** Added to the gradient as `weightDecay * weight`, as PyTorch's SGD does. */
  readonly weightDecay: number;
  /**
   * How the learning rate changes, by epochs, as PyTorch's StepLR (`stepSize`, `gamma`), CosineAnnealingLR
   * (down to 0 over the run) or ConstantLR with factor 1.
   */
  readonly schedule: Schedule;
  /** Epochs before the schedule begins, in which the rate grows from a third, as PyTorch's LinearLR. */
  readonly warmupEpochs: number;
  /** Epochs between two drops of the learning rate. */
  readonly stepSize: number;
  /** Factor of each drop. */
  readonly gamma: number;
  /**
   * How much each class counts in the training loss: `none`, `auto` (images / (classes * images of the
   * class)), or the path of a JSON file with an object of class names and weights.
   */
  readonly classWeights: string;
  /** As PyTorch's CrossEntropyLoss, in training. */
  readonly labelSmoothing: number;
  /** Share of each class's images that is for validation where the data folder has no `val`. */
  readonly valFraction: number;
  /** Epochs without a better validation result after which the run ends; 0 is never. */
  readonly earlyStop: number;
  /** Threads that decode and transform images. */
  readonly workers: number;
  /** Where decoded images are kept for later epochs; does not change the result. */
  readonly cache: Cache;
  /** With `cache`: most memory to use for it, in units of 10^6 bytes; an image takes 3 bytes a pixel. */
  readonly cacheMegabytes: number;
  readonly seed: number;
  /** `auto` is CUDA where its provider loads, else the CPU. */
  readonly device: Device;
  /** CPU threads of the runtime; 0 leaves the number to the runtime. */
  readonly threads: number;
  /** Training steps between two checkpoints, besides the one after each epoch; 0 writes no others. */
  readonly saveEvery: number;
  /** How many of the latest checkpoints are kept; the best one always is. */
  readonly keep: number;
  /** What to do when the look through the images before the first step finds broken ones. */
  readonly onBadImage: OnBadImage;
}

/** The default of each setting. */
export const TRAIN_DEFAULTS: TrainSettings = {
  weights: 'imagenet',
  epochs: 25,
  batchSize: 4,
  lr: 0.001,
  headLr: 0,
  freeze: 'none',
  momentum: 0.9,
  nesterov: false,
  clipGradNorm: 0,
  weightDecay: 0,
  schedule: 'step',
  warmupEpochs: 0,
  stepSize: 7,
  gamma: 0.1,
  classWeights: 'none',
  labelSmoothing: 0,
  valFraction: 0.15,
  earlyStop: 0,
  workers: 4,
  cache: 'none',
  cacheMegabytes: 2000,
  seed: 0,
  device: 'auto',
  threads: 0,
  saveEvery: 0,
  keep: 2,
  onBadImage: 'stop',
};

export type NumericSetting = Exclude<
  keyof TrainSettings,
  | 'weights'
  | 'device'
  | 'onBadImage'
  | 'schedule'
  | 'classWeights'
  | 'cache'
  | 'freeze'
  | 'nesterov'
>;

export const RANGES: Readonly<Record<NumericSetting, NumberRange>> = {
  epochs: { integer: true, min: 1, max: 100_000 },
  batchSize: { integer: true, min: 1, max: 4096 },
  lr: { integer: false, min: 0, max: 1000 },
  headLr: { integer: false, min: 0, max: 1000 },
  momentum: { integer: false, min: 0, max: 1 },
  weightDecay: { integer: false, min: 0, max: 1000 },
  clipGradNorm: { integer: false, min: 0, max: 1_000_000 },
  stepSize: { integer: true, min: 1, max: 100_000 },
  gamma: { integer: false, min: 0, max: 1000 },
  warmupEpochs: { integer: true, min: 0, max: 100_000 },
  labelSmoothing: { integer: false, min: 0, max: 1 },
  valFraction: { integer: false, min: 0.01, max: 0.9 },
  earlyStop: { integer: true, min: 0, max: 100_000 },
  workers: { integer: true, min: 1, max: 64 },
  cacheMegabytes: { integer: true, min: 1, max: 10_000_000 },
  seed: { integer: true, min: 0, max: 2 ** 32 - 1 },
  threads: { integer: true, min: 0, max: 256 },
  saveEvery: { integer: true, min: 0, max: 1_000_000_000 },
  keep: { integer: true, min: 1, max: 1_000_000 },
};
