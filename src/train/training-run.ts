/** A run under way: where it is, how that is saved, and what becomes of it when it is stopped. */

import type { BestResult, TrainerState } from '../checkpoint/checkpoint.js';
import type { CheckpointFolder } from '../checkpoint/checkpoint-folder.js';
import { EpochProgress } from './train-epoch.js';
import { DatasetError, InterruptedError } from '../common/errors.js';
import type { PhaseRecord } from '../common/events.js';
import type { RunFolder } from '../checkpoint/run-folder.js';
import { isBetter } from '../metrics/is-better.js';
import type { TrainSession } from '../session/train-session.js';
import type { State } from '../common/tensor.js';

/** What stays the same through a run, and is in every checkpoint of it. */
export type RunIdentity = Pick<TrainerState, 'arch' | 'classes' | 'fingerprints' | 'config'>;

export class TrainingRun {
  /** Epochs completed. */
  epoch: number;
  /** Of the training of the epoch under way. */
  progress: EpochProgress;
  best: BestResult | null;
  /** One for each phase completed. */
  records: readonly PhaseRecord[];
  #firstStep: number;

  /**
   * @param stepsPerEpoch training batches of an epoch.
   * @param from where it goes on; null for a new run.
   */
  constructor(
    readonly folder: RunFolder,
    private readonly checkpoints: CheckpointFolder,
    private readonly session: Pick<TrainSession, 'getState'>,
    private readonly identity: RunIdentity,
    private readonly stepsPerEpoch: number,
    from: Pick<TrainerState, 'epoch' | 'step' | 'partial' | 'best' | 'records'> | null,
  ) {
    this.epoch = from?.epoch ?? 0;
    this.progress = new EpochProgress(from?.partial ?? null);
    this.best = from?.best ?? null;
    this.records = from?.records ?? [];
    this.#firstStep = (from?.step ?? 0) - this.progress.batch;
  }

  /** Training steps completed before the epoch under way. */
  get firstStep(): number {
    return this.#firstStep;
  }

  get step(): number {
    return this.firstStep + this.progress.batch;
  }

  /** Writes a checkpoint of where the run is. No step may be under way. */
  async save(state?: State): Promise<void> {
    await this.checkpoints.save({
      state: state ?? (await this.session.getState()),
      run: this.#state(),
    });
  }

  #state(): TrainerState {
    const { epoch, step, best, progress, records } = this;
    // The training record of an epoch whose validation is not done is made again from `partial`.
    const done = records.filter((record) => record.epoch <= epoch);
    return { ...this.identity, epoch, step, partial: progress.partial, best, records: done };
  }

  /** Adds a line to metrics.jsonl. */
  async record(record: PhaseRecord): Promise<void> {
    this.records = [...this.records, record];
    await this.folder.writeMetrics(this.records);
  }

  /** The validation of an epoch is done: the next one begins. `last` is written, then `best`. */
  async finishEpoch(state: State, validation: PhaseRecord): Promise<void> {
    await this.record(validation);
    this.epoch += 1;
    this.#firstStep += this.stepsPerEpoch;
    this.progress = new EpochProgress();
    const { accuracy, loss } = validation;
    const improved = this.best === null || isBetter(validation, this.best);
    if (improved) this.best = { epoch: this.epoch, accuracy, loss };
    // In this order: were it killed between the two, `best` can be had from `last`.
    await this.save(state);
    if (improved) await this.saveBest(state);
  }

  /** Writes the best weights, which are those of `state`. */
  async saveBest(state: State): Promise<void> {
    await this.checkpoints.saveBest({ state, run: this.#state() });
  }

  /**
   * Saves what was reached when `error` ended the run, if it is worth it, and completes the error.
   *
   * @param signal the run was asked to stop, if `error` is its reason.
   */
  async stopped(error: unknown, signal?: AbortSignal): Promise<unknown> {
    const { dir } = this.folder;
    if (signal?.aborted === true && error === signal.reason) {
      await this.save();
      return new InterruptedError(dir, this.step);
    }
    if (!(error instanceof DatasetError)) return error;
    await this.save();
    return new DatasetError(
      `${error.message} (in epoch ${this.epoch + 1}, after step ${this.step}; what was reached is saved: ` +
        `with the file as it was, go on with --resume ${dir})`,
      { cause: error },
    );
  }
}

/** The run as ranks that do not lead see it: they keep count, and leave the writing to rank 0. */
export class FollowingRun extends TrainingRun {
  override save(): Promise<void> {
    return Promise.resolve();
  }

  override saveBest(): Promise<void> {
    return Promise.resolve();
  }

  override record(record: PhaseRecord): Promise<void> {
    this.records = [...this.records, record];
    return Promise.resolve();
  }

  override stopped(error: unknown, signal?: AbortSignal): Promise<unknown> {
    const asked = signal?.aborted === true && error === signal.reason;
    return Promise.resolve(asked ? new InterruptedError(this.folder.dir, this.step) : error);
  }
}
