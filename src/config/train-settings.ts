/**
 * The settings of a training run: one table, one entry per setting. The type, the defaults, the checks, the flags of
 * `train` and `find-lr`, their help and docs/cli.md are derived from it. To add a setting, add an entry.
 */

import type { ExifUse } from '../platform/platform.js';
import {
  boolean,
  choice,
  defaultsOf,
  integer,
  number,
  wordOrFile,
  type Option,
  type OptionTable,
  type Values,
} from './options.js';

/** Devices on which a network can be trained; `auto` chooses one of the others. */
export const DEVICES = ['auto', 'cpu', 'cuda', 'webgpu'] as const;
/** One of {@link DEVICES}. */
export type Device = (typeof DEVICES)[number];

/** How a setting behaves beyond a single run in a single process. */
export interface Attributes {
  /**
   * Whether a resumed run may have another value. `free`: the result does not depend on it, or its effect is compared
   * instead (of `device`, the provider that it leads to). `may-grow`: the value must not be smaller. Without this
   * attribute the value must stay.
   */
  readonly resume?: 'free' | 'may-grow';
  /** Set if the value may differ between the ranks of an MPI job. */
  readonly perRank?: true;
  /** Set if `find-lr` has the setting, too. */
  readonly findLr?: true;
  /** Set if the value says something about this machine and nothing about the model. */
  readonly local?: true;
}

/** The order of the entries is the order of the keys in config.json; a new entry is the last. */
export const SETTINGS = {
  /** Initial weights: `imagenet`, `random`, or the path of a `.safetensors` or `.pth` file. */
  weights: wordOrFile(['imagenet', 'random'], 'imagenet', {
    expected: 'imagenet, random or a .safetensors or .pth file',
    value: 'W',
    help: 'initial weights: imagenet, random, or a .safetensors or .pth file',
    docs: 'initial weights: `imagenet`, `random`, or a `.safetensors` or `.pth` file ([weights.md](weights.md)); the last layer always starts fresh',
    perRank: true,
    findLr: true,
    local: true,
  }),
  /** Passes over the training images. */
  epochs: integer(25, [1, 100_000], {
    help: 'passes over the training images',
    resume: 'may-grow',
  }),
  /** Images per training step. */
  batchSize: integer(4, [1, 4096], {
    help: 'images per step',
    docs: 'images per step; the last, smaller batch of an epoch is used, too',
    findLr: true,
  }),
  /** Learning rate of the first epochs. */
  lr: number(0.001, [0, 1000], {
    help: 'learning rate of the first epochs',
  }),
  /** Learning rate of the last layer; 0 means the value of `lr`. The schedule applies to both. */
  headLr: number(0, [0, 1000], {
    help: 'learning rate of the last layer; 0 means the value of --lr',
    docs: 'learning rate of the last layer; 0 means the value of `--lr`',
  }),
  /**
   * Layers to freeze. `backbone`: only the last layer is trained; the others are in evaluation mode, so that
   * BatchNorm uses its running statistics and does not update them.
   */
  freeze: choice(['none', 'backbone'], 'none', {
    value: 'F',
    help: 'layers to freeze',
    note: 'train the last layer only',
    docs: "`none`, or `backbone`: train the last layer only; the other layers stay as they are, BatchNorm's statistics included (the tutorial's second scenario)",
    findLr: true,
  }),
  /** Momentum, as in PyTorch's SGD. */
  momentum: number(0.9, [0, 1], {
    help: 'momentum of SGD',
    docs: "momentum, as PyTorch's SGD",
    findLr: true,
  }),
  /** Nesterov momentum, as in PyTorch's SGD; needs a momentum above 0. */
  nesterov: boolean({
    help: 'Nesterov momentum',
    docs: "Nesterov momentum, as PyTorch's SGD",
    findLr: true,
  }),
  /**
   * Largest norm of all gradients together; larger gradients are scaled down to it, as by PyTorch's
   * `clip_grad_norm_`. 0 means no clipping.
   */
  clipGradNorm: number(0, [0, 1_000_000], {
    help: 'largest norm of the gradients; 0 means no clipping',
    docs: "scale the gradients of a step down to this norm, as PyTorch's `clip_grad_norm_`; 0 means never",
    findLr: true,
  }),
  /** Weight decay: `weightDecay * weight` is added to the gradient, as in PyTorch's SGD. */
  weightDecay: number(0, [0, 1000], {
    help: 'weight decay of SGD',
    docs: "weight decay, as PyTorch's SGD",
    findLr: true,
  }),
  /** Epochs between two drops of the learning rate. */
  stepSize: integer(7, [1, 100_000], {
    help: 'epochs between two drops of the learning rate',
  }),
  /** Factor of each drop of the learning rate. */
  gamma: number(0.1, [0, 1000], {
    help: 'factor of each drop of the learning rate',
  }),
  /**
   * Learning rate by epoch, as PyTorch's StepLR (`stepSize`, `gamma`), CosineAnnealingLR (down to 0 over the run)
   * or ConstantLR with factor 1.
   */
  schedule: choice(['step', 'cosine', 'constant'], 'step', {
    value: 'S',
    help: 'how the learning rate changes',
    docs: "`step`, `cosine` (down to 0 over the run) or `constant`, as PyTorch's StepLR, CosineAnnealingLR, ConstantLR",
  }),
  /** Epochs before the schedule begins, in which the rate grows from a third, as by PyTorch's LinearLR. */
  warmupEpochs: integer(0, [0, 100_000], {
    help: 'epochs in which the learning rate grows from a third',
    docs: "epochs before the schedule in which the rate grows from a third, as PyTorch's LinearLR",
  }),
  /**
   * Weight of each class in the training loss: `none`, `auto` (images / (classes * images of the class)), or the
   * path of a JSON file with an object of class names and weights.
   */
  classWeights: wordOrFile(['none', 'auto'], 'none', {
    absolute: true,
    value: 'W',
    expected: 'none, auto or a JSON file of class names and weights',
    help: 'weight of each class in training: none, auto (more for rare classes), or a JSON file',
    docs: 'weight of each class in the training loss: `none`, `auto` (more for rare classes), or a JSON file such as `{"ants": 2, "bees": 1}`',
    findLr: true,
  }),
  /** Label smoothing of the training loss, as in PyTorch's CrossEntropyLoss. */
  labelSmoothing: number(0, [0, 1], {
    help: 'label smoothing of the training loss',
    docs: "label smoothing of the training loss, as PyTorch's CrossEntropyLoss",
    findLr: true,
  }),
  /** Share of each class's images used for validation if the data folder has no `val`. */
  valFraction: number(0.15, [0.01, 0.9], {
    help: 'share of the images used for validation if there is no val/',
    docs: "share of each class's images used for validation if there is no `val/`; every run takes the same images",
    findLr: true,
  }),
  /** Epochs without a better validation result after which the run ends; 0 means never. */
  earlyStop: integer(0, [0, 100_000], {
    help: 'epochs without a better result that end the run; 0 means never',
    docs: 'end the run after N epochs without a better validation result; 0 means never',
    resume: 'free',
  }),
  /** Threads that decode and transform images. */
  workers: integer(4, [1, 64], {
    help: 'threads that decode and transform images',
    docs: 'threads that decode and transform images; the result does not depend on it',
    resume: 'free',
    perRank: true,
    findLr: true,
    local: true,
  }),
  /** Cache of decoded images for later epochs: `none` or `ram`. The result does not depend on it. */
  cache: choice(['none', 'ram'], 'none', {
    value: 'C',
    help: 'where decoded images are kept for later epochs',
    docs: '`none`, or `ram`: keep decoded images for later epochs, so that no file is read or decoded twice; the result does not depend on it',
    resume: 'free',
    perRank: true,
  }),
  /** Largest size of the cache in units of 10^6 bytes; an image takes 3 bytes per pixel. */
  cacheMegabytes: integer(2000, [1, 10_000_000], {
    help: 'with --cache ram: largest size of the cache in MB',
    docs: 'largest size of that cache (in 10^6 bytes; an image takes 3 bytes per pixel); images that do not fit are decoded again in each epoch',
    resume: 'free',
    perRank: true,
  }),
  /** Seed of the order, crops, flips and fresh weights. */
  seed: integer(0, [0, 2 ** 32 - 1], {
    help: 'seed of the order, crops, flips and fresh weights',
    findLr: true,
  }),
  /** Device to train on; `auto` is CUDA if it works, else WebGPU on a real GPU, else the CPU. */
  device: choice(DEVICES, 'auto', {
    value: 'D',
    help: 'device to train on',
    note: 'auto: CUDA, else WebGPU on a real GPU, else CPU',
    docs: '`cpu`, `cuda`, `webgpu`, or `auto`: CUDA if it works, else WebGPU on a real GPU, else the CPU; the choice and its reason are printed',
    resume: 'free',
    perRank: true,
    findLr: true,
  }),
  /** CPU threads of ONNX Runtime; 0 lets the runtime choose. */
  threads: integer(0, [0, 256], {
    help: 'CPU threads of ONNX Runtime; 0 lets the runtime choose',
    perRank: true,
    findLr: true,
    local: true,
  }),
  /** Training steps between two checkpoints, in addition to the one after each epoch; 0 means none. */
  saveEvery: integer(0, [0, 1_000_000_000], {
    help: 'steps between checkpoints; one after each epoch is always written',
    docs: 'steps between checkpoints, in addition to the one after each epoch; 0 means none',
    resume: 'free',
  }),
  /** Number of latest checkpoints to keep; the best one is always kept. */
  keep: integer(2, [1, 1_000_000], {
    help: 'latest checkpoints to keep; the best one is always kept',
    docs: 'number of latest checkpoints to keep; the best one is always kept',
    resume: 'free',
  }),
  /** Action if the check before the first step finds broken images: `stop`, or `skip` to leave them out. */
  onBadImage: choice(['stop', 'skip'], 'stop', {
    value: 'A',
    help: 'action if images are found broken before the first step',
    note: 'skip leaves them out and lists them',
    docs: 'if an image is found broken before the first step: `stop`, or `skip`: leave it out and list it in the run folder',
    resume: 'free',
    findLr: true,
  }),
  /**
   * Use of the EXIF orientation of an image: `ignore`, as torchvision does, or `apply`, which turns and mirrors the
   * pixels as Pillow's `ImageOps.exif_transpose`. Evaluation, prediction and the exported model follow it.
   */
  exif: choice(['ignore', 'apply'] satisfies readonly ExifUse[], 'ignore', {
    value: 'E',
    help: 'use of the EXIF orientation that phones and cameras write',
    note: 'apply turns the image',
    docs: "use of the EXIF orientation that phones and cameras write: `ignore`, as torchvision does, or `apply`: turn the image, as Pillow's `ImageOps.exif_transpose`; kept in the run and in exported models ([data.md](data.md#exif-orientation))",
    findLr: true,
  }),
} satisfies Readonly<Record<string, Option & Attributes>>;

type SettingTable = typeof SETTINGS;

/**
 * The settings that have a default: that of PyTorch's transfer-learning tutorial where it has one.
 *
 * @interface
 */
export type TrainSettings = Values<SettingTable>;
export type SettingName = keyof TrainSettings;

/**
 * The default of each setting.
 *
 * @example
 * await train({ data: 'images', lr: TRAIN_DEFAULTS.lr / 10 });
 */
export const TRAIN_DEFAULTS: TrainSettings = defaultsOf(SETTINGS);

/** Names of the settings that have an attribute. */
export type SettingsWith<A extends keyof Attributes> = {
  [Name in SettingName]: SettingTable[Name] extends Readonly<Record<A, unknown>> ? Name : never;
}[SettingName];

/** Returns the names of the settings that have an attribute, in the order of the table. */
export function settingsWith<A extends keyof Attributes>(attribute: A): SettingsWith<A>[] {
  return Object.keys(tableWith(SETTINGS, attribute)) as SettingsWith<A>[];
}

/** Returns the entries of a table that have an attribute. */
export function tableWith(
  table: Readonly<Record<string, Option & Attributes>>,
  attribute: keyof Attributes,
): OptionTable {
  const entries = Object.entries(table).filter(([, option]) => option[attribute] !== undefined);
  return Object.fromEntries(entries);
}
