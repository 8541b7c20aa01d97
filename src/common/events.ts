/**
 * What a training run reports while it runs. `train()` hands these to `onEvent`; the command line
 * prints them, metrics.jsonl stores the phase records.
 *
 * Epochs count from 1 here, as they are printed. Losses are means over samples (not over batches),
 * accuracies are shares between 0 and 1.
 */

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
   * Of training on several ranks: part of `seconds` in which gradients were reduced, or those of other
   * ranks waited for.
   */
  readonly allReduceSeconds?: number;
}

/** What `train()` returns. */
export interface TrainResult {
  readonly runDir: string;
  readonly bestEpoch: number;
  readonly bestAccuracy: number;
  readonly bestLoss: number;
  /** Path of the best checkpoint. */
  readonly checkpoint: string;
}

/** Before the first step: what was resolved. */
export interface StartEvent {
  readonly type: 'start';
  readonly device: string;
  /** Why that device, for example `CUDA provider does not load: …`. */
  readonly deviceReason: string;
  readonly classes: readonly string[];
  readonly trainImages: number;
  readonly valImages: number;
  /** Where the initial weights come from. */
  readonly weightsSource: string;
  readonly runDir: string;
  /** The ranks of a job under MPI; absent where a process trains alone. */
  readonly ranks?: { readonly size: number; readonly hosts: number; readonly library: string };
  /** Where an earlier run is taken up; absent in a new run. */
  readonly resumed?: {
    /** The checkpoint. */
    readonly file: string;
    /** Epochs completed. */
    readonly epoch: number;
    /** Training batches completed of the epoch after. */
    readonly batch: number;
    /** Training steps completed since the start of the run. */
    readonly step: number;
    readonly best: { readonly accuracy: number; readonly loss: number } | null;
  };
}

/** Bytes of the pretrained weights received so far; `totalBytes` is null where it is not announced. */
export interface FetchEvent {
  readonly type: 'fetch';
  readonly receivedBytes: number;
  readonly totalBytes: number | null;
}

/**
 * Progress inside a pass, after each call of the runtime, which in training holds several batches. Loss and
 * accuracy are those of the pass so far.
 */
export interface StepEvent {
  readonly type: 'step';
  readonly epoch: number;
  readonly epochs: number;
  readonly phase: 'train' | 'val';
  /** Batches done, from 1 to `batches`. */
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

/** Images looked through so far, before the first step. */
export interface PreflightEvent {
  readonly type: 'preflight';
  readonly done: number;
  readonly total: number;
}

/** Every image has been looked through. */
export interface CheckedEvent {
  readonly type: 'checked';
  /** Images in each class, the broken ones not counted. */
  readonly classes: readonly {
    readonly name: string;
    readonly train: number;
    readonly val: number;
  }[];
  /** How many needed no look, as they had not changed since an earlier run. */
  readonly known: number;
  /** Broken images that are left out. */
  readonly skipped: readonly BadImage[];
}

/** Something the user should know, that does not stop the run. */
export interface WarningEvent {
  readonly type: 'warning';
  readonly message: string;
}

/** The run has ended. */
export interface EndEvent {
  readonly type: 'end';
  readonly result: TrainResult;
  /** The run that was to be resumed had ended before: nothing was done. */
  readonly before?: true;
}

/** Everything that `train()` reports, told apart by `type`. */
export type TrainEvent =
  | StartEvent
  | FetchEvent
  | PreflightEvent
  | CheckedEvent
  | StepEvent
  | PhaseEvent
  | WarningEvent
  | EndEvent;
