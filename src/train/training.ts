/** The parts that the loop works with, and how it reports. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { TrainingError } from '../common/errors.js';
import type { PhaseRecord, TrainEvent } from '../common/events.js';
import type { BatchLoader } from '../data/batch.js';
import { DdpTrainSession } from '../distributed/ddp-session.js';
import type { ProcessGroup } from '../distributed/process-group.js';
import type { SharedStop } from '../distributed/shared-stop.js';
import type { Predictions } from '../metrics/predictions.js';
import type { OrtWorker } from '../session/ort-worker.js';
import type { TrainSession } from '../session/train-session.js';
import { learningRates, type LrSettings } from './lr-schedule.js';
import type { StepSettings } from './stack-batches.js';
import type { EpochMetrics, EpochProgress, TrainingRun } from './training-run.js';

/** Settings of the loop. */
export interface LoopSettings extends LrSettings, Omit<StepSettings, 'classWeights'> {
  /** Ends the run after this many epochs without a better result; 0 never does. */
  readonly earlyStop: number;
}

/** A training that is prepared: what {@link fit} works with. */
export interface Training {
  readonly group: ProcessGroup;
  readonly stop: SharedStop;
  readonly config: LoopSettings;
  readonly artifacts: Artifacts;
  readonly runtime: Pick<OrtWorker, 'loadGiven' | 'run' | 'release'>;
  readonly session: Pick<TrainSession, 'step' | 'getState' | 'setState' | 'getWeights'>;
  /** Training steps that share one call of the runtime. */
  readonly stepsPerExecution: number;
  readonly trainLoader: BatchLoader;
  readonly valLoader: BatchLoader;
  /** Names of the classes. */
  readonly classes: readonly string[];
  readonly classWeights: readonly number[] | undefined;
  readonly run: TrainingRun;
  readonly emit: (event: TrainEvent) => void;
  /** Called when an epoch is complete and saved, with the predictions of its validation. */
  readonly onEpochEnd: (predictions: Predictions) => Promise<void>;
}

/** Reports how far an epoch is. */
export function emitStep(
  t: Pick<Training, 'run' | 'config' | 'emit' | 'trainLoader' | 'valLoader'>,
  phase: 'train' | 'val',
  { batch, meter, seconds }: EpochProgress,
): void {
  t.emit({
    type: 'step',
    epoch: t.run.epoch + 1,
    epochs: t.config.epochs,
    phase,
    batch,
    batches: (phase === 'train' ? t.trainLoader : t.valLoader).batchCount,
    loss: meter.loss,
    accuracy: meter.accuracy,
    imagesPerSecond: meter.images / seconds,
  });
}

/** Returns the record of a finished phase of the epoch under way, with the learning rate of the epoch's first step. */
export function phaseRecord(
  { run, config, session }: Pick<Training, 'run' | 'config' | 'session'>,
  phase: 'train' | 'val',
  { meter, seconds, dataWaitSeconds }: EpochMetrics,
): PhaseRecord {
  const { loss, accuracy, images } = meter;
  const { lr } = learningRates(run.epoch * run.stepsPerEpoch, run.stepsPerEpoch, config);
  const record = { epoch: run.epoch + 1, phase, loss, accuracy, lr, images, seconds };
  if (phase === 'val' || !(session instanceof DdpTrainSession)) {
    return { ...record, dataWaitSeconds };
  }
  return { ...record, dataWaitSeconds, allReduceSeconds: session.takeAllReduceSeconds() };
}

/**
 * Checks that a loss is finite.
 *
 * @param name what the message calls the loss.
 * @param context says where the loss was found and what to do about it; called only if it is not finite.
 * @throws TrainingError if the loss is NaN or infinite.
 */
export async function requireFinite(
  name: string,
  loss: number,
  context: () => string | Promise<string>,
): Promise<void> {
  if (Number.isFinite(loss)) return;
  throw new TrainingError(`expected a finite ${name}, got ${loss} ${await context()}`);
}
