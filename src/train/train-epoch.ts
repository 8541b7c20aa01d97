/** One pass over the training images. */

import type { StepResults, TrainSession } from '../session/train-session.js';
import { batchSums, type MetricSums } from '../metrics/average-meter.js';
import type { Batch, BatchLoader } from '../data/batch.js';
import { SINGLE_PROCESS } from '../distributed/process-group.js';
import { SharedStop } from '../distributed/shared-stop.js';
import { EpochTimer } from './epoch-timer.js';
import { learningRates } from './lr-schedule.js';
import { stackBatches, type Chunk, type ChunkOptions, type StepSettings } from './stack-batches.js';
import { stepAhead } from './step-ahead.js';
import { emitStep, requireFinite, type Training } from './training.js';
import { NO_CHECKPOINTS, noMetricsFile, TrainingRun, type EpochMetrics } from './training-run.js';

/** The parts of a training that an epoch of steps needs. */
export type EpochParts = Omit<
  Training,
  'group' | 'artifacts' | 'runtime' | 'session' | 'onEpochEnd'
> & { readonly session: Pick<TrainSession, 'step'> };

/**
 * Trains on the batches of the epoch under way, from where the run is.
 *
 * After any error other than TrainingError, `run.epochProgress` matches the session's state, so a checkpoint may be
 * saved.
 *
 * @throws TrainingError as soon as a loss is not finite.
 */
export async function trainEpoch(t: EpochParts): Promise<EpochMetrics> {
  const { run, session, trainLoader } = t;
  const { signal } = t.stop;
  const { epochProgress: progress } = run;
  const timer = new EpochTimer(progress);
  const batches = trainLoader.epoch(run.epoch, { shuffle: true, startBatch: progress.batch });
  const chunks = stackBatches(batches, chunkOptions(t));
  const step = (chunk: Chunk): Promise<StepResults> => {
    signal?.throwIfAborted();
    return timer.compute(() => session.step(chunk.stacked));
  };
  for await (const { chunk, results } of stepAhead(chunks, step)) {
    await countSteps(t, chunk, results);
    progress.setTimes(timer);
    emitStep(t, 'train', progress);
    if (run.isSavePoint()) {
      await run.save();
      // Do not count the save as waiting for data.
      timer.runtimeIdle();
    }
    signal?.throwIfAborted();
  }
  // A resumed run may have had no batch left, so that nothing was checked above.
  signal?.throwIfAborted();
  const { seconds, dataWaitSeconds } = timer;
  return { meter: progress.meter, seconds, dataWaitSeconds };
}

/** Returns how the batches of the epoch under way are stacked: chunks end where a checkpoint is due. */
function chunkOptions(t: EpochParts): ChunkOptions {
  const { run, config, classWeights, trainLoader } = t;
  const { stepsPerEpoch } = run;
  const [firstBatch, firstStep] = [run.epochProgress.batch, run.globalStep];
  // Not by `globalStep`: after a change of the number of ranks, earlier epochs had another number of steps.
  const begin = run.epoch * stepsPerEpoch + firstBatch;
  return {
    classes: t.classes.length,
    settings: { ...config, classWeights },
    maxSteps: t.stepsPerExecution,
    rates: (batch) => learningRates(begin + batch, stepsPerEpoch, config),
    endsAfter: (batches) => run.isSavePoint(firstStep + batches),
    recycle: (images) => {
      trainLoader.recycle(images);
    },
  };
}

/** Counts the steps of a chunk into the epoch. @throws TrainingError at a loss that is not finite. */
async function countSteps(
  { run, classes, stop, trainLoader }: EpochParts,
  { steps }: Chunk,
  { losses, logits }: StepResults,
): Promise<void> {
  for (const [k, { labels, indices, rates }] of steps.entries()) {
    const loss = losses[k] ?? NaN;
    await requireFinite('loss', loss, async () => {
      const images = (await trainLoader.names(indices)).join(', ');
      return (
        `at step ${run.globalStep + 1} (learning rate ${rates.lr}, images ${images}); lower --lr, or look at ` +
        'these images'
      );
    });
    const offset = k * labels.length * classes.length;
    const own = batchSums(loss, logits.subarray(offset), labels, classes.length);
    run.epochProgress.meter.addSums(await reduceSums(stop, own));
    run.epochProgress.batch++;
  }
}

/** Returns the sums over the batches of all ranks. */
export async function reduceSums(
  stop: SharedStop,
  { images, lossSum, correct }: MetricSums,
): Promise<MetricSums> {
  const [allImages = 0, allLoss = NaN, allCorrect = 0] = await stop.allReduce([
    images,
    lossSum,
    correct,
  ]);
  return { images: allImages, lossSum: allLoss, correct: allCorrect };
}

export interface LoneEpoch {
  readonly session: Pick<TrainSession, 'step'>;
  readonly batches: AsyncIterable<Batch>;
  /** Takes the memory of the batches back. */
  readonly loader: Pick<BatchLoader, 'recycle' | 'names'>;
  /** Training steps per call of the session. */
  readonly stepsPerExecution: number;
  /** Number of classes. */
  readonly classes: number;
  readonly settings: StepSettings & { readonly lr: number };
}

/**
 * Trains on batches at one learning rate, without a run folder and its checkpoints: for programs that compare the
 * steps with PyTorch's, or time them.
 */
export function trainLoneEpoch(lone: LoneEpoch): Promise<EpochMetrics> {
  const { session, batches, loader, settings, classes } = lone;
  const batchLoader: BatchLoader = {
    length: 0,
    batchCount: 1,
    epoch: () => batches,
    recycle: (images) => {
      loader.recycle(images);
    },
    names: (indices) => loader.names(indices),
  };
  const schedule = { schedule: 'constant', warmupEpochs: 0, stepSize: 1, gamma: 1 } as const;
  const fixed = { stepsPerEpoch: 1, saveEvery: 0, metrics: noMetricsFile('') };
  const identity = { arch: '', classes: [], fingerprints: { data: '', artifacts: '' }, config: {} };
  const state = { getState: () => Promise.resolve(new Map()) };
  return trainEpoch({
    session,
    trainLoader: batchLoader,
    valLoader: batchLoader,
    stepsPerExecution: lone.stepsPerExecution,
    classes: Array.from({ length: classes }, (_, label) => String(label)),
    classWeights: settings.classWeights,
    config: { headLr: 0, ...schedule, epochs: 1, earlyStop: 0, ...settings },
    run: new TrainingRun({ ...fixed, checkpoints: NO_CHECKPOINTS, session: state, identity }, null),
    stop: new SharedStop(SINGLE_PROCESS, undefined),
    emit: () => undefined,
  });
}
