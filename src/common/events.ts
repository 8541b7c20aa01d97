/**
 * Events of a training run. `train()` hands them to `onEvent`; the command line prints them, and metrics.jsonl
 * stores the phase records.
 *
 * Epochs count from 1 here, as they are printed. Losses are means over samples (not over batches); accuracies are
 * shares between 0 and 1.
 */

import type { ExifUse } from '../platform/platform.js';
import type { BadImage } from './errors.js';

/** One pass over the training or the validation images: a line of metrics.jsonl. */
export interface PhaseRecord {
  readonly epoch: number;
  readonly phase: 'train' | 'val';
  readonly loss: number;
  readonly accuracy: number;
  /** Learning rate of the epoch. */
  readonly lr: number;
  readonly images: number;
  /** Wall time of the pass. */
  readonly seconds: number;
  /** Part of `seconds` in which nothing could be computed because no batch was ready. */
  readonly dataWaitSeconds: number;
  /**
   * Part of `seconds` in which gradients were reduced, or this rank waited for those of other ranks. Only in
   * training on several ranks.
   */
  readonly allReduceSeconds?: number;
}

/** Result of `train()`. */
export interface TrainResult {
  readonly runDir: string;
  readonly bestEpoch: number;
  readonly bestAccuracy: number;
  readonly bestLoss: number;
  /** Path of the best checkpoint. */
  readonly checkpoint: string;
}

/** Training begins: resolved settings, before the first step. */
export interface StartEvent {
  readonly type: 'start';
  readonly device: string;
  /** Why that device was chosen, for example `CUDA provider does not load: …`. */
  readonly deviceReason: string;
  readonly classes: readonly string[];
  readonly trainImages: number;
  readonly valImages: number;
  /** Source of the initial weights. */
  readonly weightsSource: string;
  readonly runDir: string;
  /** The ranks of an MPI job; absent if one process trains alone. */
  readonly ranks?: { readonly size: number; readonly hosts: number; readonly library: string };
  /** The point from which an earlier run is resumed; absent in a new run. */
  readonly resumed?: {
    /** Path of the checkpoint. */
    readonly file: string;
    /** Completed epochs. */
    readonly epoch: number;
    /** Completed training batches of the next epoch. */
    readonly batch: number;
    /** Completed training steps since the start of the run. */
    readonly step: number;
    readonly best: { readonly accuracy: number; readonly loss: number } | null;
  };
}

/** Download of the pretrained weights. `totalBytes` is null if the server does not announce it. */
export interface FetchEvent {
  readonly type: 'fetch';
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
}

/**
 * Progress inside a pass, after each call of the runtime (in training, one call takes several batches). Loss and
 * accuracy are means over the pass so far.
 */
export interface StepEvent {
  readonly type: 'step';
  readonly epoch: number;
  readonly epochs: number;
  readonly phase: 'train' | 'val';
  /** Completed batches, from 1 to `batches`. */
  readonly batch: number;
  readonly batches: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly imagesPerSecond: number;
}

/** A pass has ended. */
export interface PhaseEvent {
  readonly type: 'phase';
  readonly record: PhaseRecord;
}

/** Number of images checked so far, before the first step. */
export interface PreflightEvent {
  readonly type: 'preflight';
  readonly done: number;
  readonly total: number;
}

/** Images of the data folders that carry an EXIF orientation other than 1; TIFF files, which are always turned, not. */
export interface OrientedImages {
  /** Number of these images. */
  readonly images: number;
  /** Value of the setting `exif`: whether their orientation is ignored or applied. */
  readonly use: ExifUse;
}

/** Every image has been checked. */
export interface CheckedEvent {
  readonly type: 'checked';
  /** Number of images per class, without broken ones. */
  readonly classes: readonly {
    readonly name: string;
    readonly train: number;
    readonly val: number;
  }[];
  /** Number of images that an earlier run had checked and that have not changed since. */
  readonly known: number;
  /** Broken images that training leaves out. */
  readonly skipped: readonly BadImage[];
  /** Orientations that were found, and their use. */
  readonly exif: OrientedImages;
}

/**
 * Kind of a {@link DataRemark}. Left out: `hidden` files and folders, each `leftover` of a system or program, images in
 * a `format` that is not read, files that are `not-image`, images in no class folder (`no-class`), a `folder` beside the
 * data, a `copy` of the class folders, a `run` folder, the `test` folder, `broken` images. Used: files that are images by their `content` only, `same-class` folders,
 * class folders that all hold the `same-folders`.
 * `empty-class`: a class without an image.
 */
export type RemarkReason =
  | 'hidden'
  | 'leftover'
  | 'format'
  | 'not-image'
  | 'no-class'
  | 'folder'
  | 'test'
  | 'copy'
  | 'run'
  | 'content'
  | 'broken'
  | 'same-class'
  | 'same-folders'
  | 'empty-class';

/** Everything of one kind that is left out of the data, or is used in an unexpected way (docs/data.md). */
export interface DataRemark {
  /** Sentence for people, with the count and the examples. */
  readonly message: string;
  readonly reason: RemarkReason;
  /** Number of files and folders. */
  readonly count: number;
  /** Up to five paths below the data folder, with slashes. A folder's ends with a slash. */
  readonly examples: readonly string[];
}

/**
 * A problem that the user should know of and that does not stop the run. One about the data has the fields of a
 * {@link DataRemark}.
 */
export interface WarningEvent extends Partial<Omit<DataRemark, 'message'>> {
  readonly type: 'warning';
  readonly message: string;
}

/** The run has ended. */
export interface EndEvent {
  readonly type: 'end';
  readonly result: TrainResult;
  /** Set if the run to resume had already finished, so that nothing was done. */
  readonly before?: true;
}

/** Every event of `train()`; `type` tells which one it is. */
export type TrainEvent =
  | StartEvent
  | FetchEvent
  | PreflightEvent
  | CheckedEvent
  | StepEvent
  | PhaseEvent
  | WarningEvent
  | EndEvent;
