/** A run under way: where it is, how that is saved, and what becomes of it when it is stopped. */

import type { BestResult, Checkpoint } from '../checkpoint/checkpoint.js';
import type { PartialEpoch, TrainerState } from '../checkpoint/trainer-state.js';
import { DatasetError, InterruptedError } from '../common/errors.js';
import { shellWord } from '../common/text.js';
import type { PhaseRecord } from '../common/events.js';
import type { State } from '../common/tensor.js';
import { AverageMeter } from '../metrics/average-meter.js';
import { isBetter } from '../metrics/is-better.js';
import type { TrainSession } from '../session/train-session.js';

/** Results of a finished epoch, of training or of validation. */
export interface EpochMetrics {
  readonly meter: AverageMeter;
  readonly seconds: number;
  /** Part of `seconds` in which the runtime had nothing to compute because no batch was ready. */
  readonly dataWaitSeconds: number;
}

/** The part of an epoch that is done. */
export class EpochProgress implements EpochMetrics {
  readonly meter: AverageMeter;
  /** Batches done. */
  batch: number;
  seconds: number;
  dataWaitSeconds: number;

  /** @param partial the part that a checkpoint holds; null at the start of an epoch. */
  constructor(partial: PartialEpoch | null = null) {
    this.meter = new AverageMeter(partial ?? undefined);
    this.batch = partial?.batch ?? 0;
    this.seconds = partial?.seconds ?? 0;
    this.dataWaitSeconds = partial?.dataWaitSeconds ?? 0;
  }

  /** Takes over the times of a running timer. */
  setTimes({ seconds, dataWaitSeconds }: Pick<EpochMetrics, 'seconds' | 'dataWaitSeconds'>): void {
    this.seconds = seconds;
    this.dataWaitSeconds = dataWaitSeconds;
  }

  /** The part as a checkpoint keeps it; null before the first batch. */
  get partial(): PartialEpoch | null {
    const { batch, seconds, dataWaitSeconds } = this;
    return batch === 0 ? null : { batch, ...this.meter.sums, seconds, dataWaitSeconds };
  }
}

/** The part of every checkpoint that stays the same through a run. */
export type RunIdentity = Pick<TrainerState, 'arch' | 'classes' | 'fingerprints' | 'config'>;

/** Writes the metrics of a run. */
export interface MetricsFile {
  /** Run folder. */
  readonly dir: string;
  writeMetrics(history: readonly PhaseRecord[]): Promise<void>;
}

/** Writes the checkpoints of a run. */
export interface CheckpointStore {
  /** Writes the latest checkpoint. */
  save(checkpoint: Checkpoint): Promise<void>;
  /** Writes the checkpoint with the best weights. */
  saveBest(checkpoint: Checkpoint): Promise<void>;
}

/** Checkpoints of the ranks other than 0: they write nothing. */
export const NO_CHECKPOINTS: CheckpointStore = {
  save: () => Promise.resolve(),
  saveBest: () => Promise.resolve(),
};

/** Returns the metrics file of the ranks other than 0, which know the run folder and write nothing. */
export function noMetricsFile(dir: string): MetricsFile {
  return { dir, writeMetrics: () => Promise.resolve() };
}

export interface TrainingRunOptions {
  readonly metrics: MetricsFile;
  /** {@link NO_CHECKPOINTS} on ranks other than 0. */
  readonly checkpoints: CheckpointStore;
  readonly session: Pick<TrainSession, 'getState'>;
  readonly identity: RunIdentity;
  /** Training batches per epoch. */
  readonly stepsPerEpoch: number;
  /** Saves a checkpoint whenever the step of the run is a multiple of this; 0 saves at the end of epochs only. */
  readonly saveEvery: number;
}

/** The part of a checkpoint that a run goes on from. */
export type ReachedState = Pick<TrainerState, 'epoch' | 'step' | 'partial' | 'best' | 'records'>;

export class TrainingRun {
  /** Epochs completed. */
  epoch: number;
  /** Training of the epoch under way. */
  epochProgress: EpochProgress;
  best: BestResult | null;
  /** The records of the phases completed. */
  history: readonly PhaseRecord[];
  readonly stepsPerEpoch: number;
  /** Training steps completed before the epoch under way. */
  #firstStep: number;
  readonly #options: TrainingRunOptions;

  /** @param from where the run goes on; null for a new run. */
  constructor(options: TrainingRunOptions, from: ReachedState | null) {
    this.#options = options;
    this.stepsPerEpoch = options.stepsPerEpoch;
    this.epoch = from?.epoch ?? 0;
    this.epochProgress = new EpochProgress(from?.partial ?? null);
    this.best = from?.best ?? null;
    this.history = from?.records ?? [];
    this.#firstStep = (from?.step ?? 0) - this.epochProgress.batch;
  }

  /** Run folder. */
  get dir(): string {
    return this.#options.metrics.dir;
  }

  /** Training steps completed since the start of the run. */
  get globalStep(): number {
    return this.#firstStep + this.epochProgress.batch;
  }

  /** Returns whether a checkpoint is due after a step of the run. */
  isSavePoint(step = this.globalStep): boolean {
    const { saveEvery } = this.#options;
    return saveEvery > 0 && step % saveEvery === 0;
  }

  /** Returns whether no epoch is left to train. */
  isDone({ epochs, earlyStop }: { epochs: number; earlyStop: number }): boolean {
    return this.epoch >= epochs || isStalled(this, earlyStop);
  }

  /** Writes a checkpoint of where the run is. No step may be under way. */
  async save(state?: State): Promise<void> {
    const { checkpoints, session } = this.#options;
    if (checkpoints === NO_CHECKPOINTS) return;
    await checkpoints.save({ state: state ?? (await session.getState()), run: this.#state() });
  }

  #state(): TrainerState {
    const { epoch, globalStep, best, epochProgress, history } = this;
    // Leave out the training record of an epoch whose validation is not done: a resumed run writes it again from
    // `partial`.
    const records = history.filter((record) => record.epoch <= epoch);
    const { partial } = epochProgress;
    return { ...this.#options.identity, epoch, step: globalStep, partial, best, records };
  }

  /** Adds the record of a completed phase to metrics.jsonl. */
  async log(record: PhaseRecord): Promise<void> {
    this.history = [...this.history, record];
    await this.#options.metrics.writeMetrics(this.history);
  }

  /** Completes an epoch by the record of its validation. Writes the latest checkpoint, then the best one. */
  async completeEpoch(state: State, validation: PhaseRecord): Promise<void> {
    await this.log(validation);
    this.epoch += 1;
    this.#firstStep += this.stepsPerEpoch;
    this.epochProgress = new EpochProgress();
    const { accuracy, loss } = validation;
    const improved = this.best === null || isBetter(validation, this.best);
    if (improved) this.best = { epoch: this.epoch, accuracy, loss };
    // In this order: after a kill between the two, the best weights can be taken from the latest checkpoint.
    await this.save(state);
    if (improved) await this.#options.checkpoints.saveBest({ state, run: this.#state() });
  }

  /**
   * Returns the error to throw when `error` has ended the run. Saves a checkpoint first, if the run was stopped or an
   * image could not be read.
   *
   * @param signal asked the run to stop, if `error` is its reason.
   */
  async stopped(error: unknown, signal?: AbortSignal): Promise<unknown> {
    const { dir, globalStep } = this;
    if (signal?.aborted === true && error === signal.reason) {
      await this.save();
      return new InterruptedError(dir, globalStep);
    }
    if (!(error instanceof DatasetError) || this.#options.checkpoints === NO_CHECKPOINTS) {
      return error;
    }
    await this.save();
    return new DatasetError(
      `${error.message} (in epoch ${this.epoch + 1}, after step ${globalStep}; what was reached is saved: ` +
        `with the file as it was, go on with --resume ${shellWord(dir)})`,
      { cause: error },
    );
  }
}

/** Returns whether nothing is left to do for a run. */
export function isFinished(
  run: TrainerState,
  { epochs, earlyStop }: { epochs: number; earlyStop: number },
): boolean {
  return run.partial === null && (run.epoch >= epochs || isStalled(run, earlyStop));
}

/** Returns whether `patience` epochs have passed since the best one; never for 0. */
export function isStalled(
  { epoch, best }: Pick<TrainerState, 'epoch' | 'best'>,
  patience: number,
): boolean {
  return patience > 0 && best !== null && epoch - best.epoch >= patience;
}
