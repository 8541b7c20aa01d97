/** One pass over the training images: batches into chunks, chunks through the training session. */

import type { PartialEpoch } from '../checkpoint/checkpoint.js';
import type { Team } from '../distributed/process-group.js';
import { TrainingError } from '../common/errors.js';
import type { Batch, DataLoader } from '../data/data-loader.js';
import { batchSums, AverageMeter } from '../metrics/average-meter.js';
import type { StackedBatches, StepResults, TrainSession } from '../session/train-session.js';
import { targetRows, type TargetSettings } from './loss-targets.js';

/**
 * Consecutive batches of one size, for one call.
 *
 * @param endsAfter whether a group must end after so many batches.
 */
export async function* groupBatches(
  batches: AsyncIterable<Batch>,
  count: number,
  endsAfter: (batches: number) => boolean = () => false,
): AsyncGenerator<Batch[], void, undefined> {
  let group: Batch[] = [];
  let seen = 0;
  for await (const batch of batches) {
    if (group[0] !== undefined && group[0].labels.length !== batch.labels.length) {
      // The last, smaller batch of an epoch: a call has one batch size.
      yield group;
      group = [];
    }
    group.push(batch);
    seen++;
    if (group.length === count || endsAfter(seen)) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}

/** What every step of an epoch has in common. */
export interface StepSettings extends TargetSettings {
  readonly lr: number;
  /** Of the last layer; default: `lr`. */
  readonly headLr?: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov?: boolean;
  /** 0, the default, is no clipping. */
  readonly clipGradNorm?: number;
  readonly classes: number;
}

/** Batches of one size as one chunk: [K, N, 3, S, S]. Their buffers go back to the loader. */
export function stackBatches(
  group: Batch[],
  settings: StepSettings,
  loader: DataLoader,
): StackedBatches {
  const [first] = group;
  if (first === undefined) throw new RangeError('a chunk holds at least one batch');
  const steps = group.length;
  const images = new Float32Array(steps * first.images.length);
  const targets = new Float32Array(steps * first.labels.length * settings.classes);
  group.forEach((batch, k) => {
    images.set(batch.images, k * batch.images.length);
    const rows = targetRows(batch.labels, settings.classes, settings);
    targets.set(rows, k * rows.length);
    loader.recycle(batch.images);
  });
  return {
    steps,
    batchSize: first.labels.length,
    images,
    targets,
    lr: new Float32Array(steps).fill(settings.lr),
    headLr: new Float32Array(steps).fill(settings.headLr ?? settings.lr),
    momentum: settings.momentum,
    weightDecay: settings.weightDecay,
    nesterov: settings.nesterov ?? false,
    maxNorm: settings.clipGradNorm || Infinity,
  };
}

/** A finished pass. */
export interface EpochMetrics {
  readonly meter: AverageMeter;
  readonly seconds: number;
  /** Part of `seconds` in which the runtime had nothing to do because no batch was ready. */
  readonly dataWaitSeconds: number;
}

/** Called after each call of the runtime: how many batches are done, and the pass's sums so far. */
export type OnBatch = (batch: number, meter: AverageMeter, seconds: number) => void;

/** How far the training of an epoch is. */
export class EpochProgress {
  readonly meter: AverageMeter;
  batch: number;
  seconds: number;
  dataWaitSeconds: number;

  /** @param partial what is done already. */
  constructor(partial: PartialEpoch | null = null) {
    this.meter = new AverageMeter(partial ?? undefined);
    this.batch = partial?.batch ?? 0;
    this.seconds = partial?.seconds ?? 0;
    this.dataWaitSeconds = partial?.dataWaitSeconds ?? 0;
  }

  /** What a checkpoint keeps; null before the first batch. */
  get partial(): PartialEpoch | null {
    const { batch, seconds, dataWaitSeconds } = this;
    return batch === 0 ? null : { batch, ...this.meter.sums, seconds, dataWaitSeconds };
  }
}

/** How an epoch is part of a run that is saved, stopped and taken up again. */
export interface EpochOfRun {
  /** Kept up to date after each batch. `batches` must be those after `progress.batch`. */
  readonly progress: EpochProgress;
  /** Steps of the run before this epoch. */
  readonly firstStep: number;
  /** `save` is called whenever the run's step is a multiple of this; 0: never. */
  readonly saveEvery: number;
  readonly save: () => Promise<void>;
  /** Where it aborts, the epoch ends after the steps under way and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** What the images are called, for messages. */
  readonly imageNames: (indices: Uint32Array) => Promise<string[]>;
  /** From the sums of this rank's batch to those of all ranks' batches of the step; default: the same. */
  readonly reduce?: Team['reduce'];
}

/** An epoch on its own: from its start to its end, without checkpoints. */
function alone(): EpochOfRun {
  const save = (): Promise<void> => Promise.resolve();
  const imageNames = (indices: Uint32Array): Promise<string[]> =>
    Promise.resolve([...indices].map((index) => `sample ${index}`));
  return { progress: new EpochProgress(), firstStep: 0, saveEvery: 0, save, imageNames };
}

/**
 * Trains on every batch of `batches`. While the runtime computes one chunk, the next is put together.
 *
 * Whatever it throws but a TrainingError, `run.progress` and the session's state belong together then.
 *
 * @throws TrainingError as soon as a loss is not finite.
 */
export async function trainEpoch(
  session: Pick<TrainSession, 'step'>,
  loader: DataLoader,
  batches: AsyncIterable<Batch>,
  groupSize: number,
  settings: StepSettings,
  onBatch: OnBatch,
  run: EpochOfRun = alone(),
): Promise<EpochMetrics> {
  const { progress, firstStep, saveEvery, signal } = run;
  const { meter, batch: firstBatch } = progress;
  const clock = new EpochTimer(progress);
  const isSavePoint = (batch: number): boolean =>
    saveEvery > 0 && batch > firstBatch && (firstStep + batch) % saveEvery === 0;
  let running = Promise.resolve();
  // Nobody may read the state, or close the runtime, while steps are under way.
  const settle = async (): Promise<void> => {
    await running;
    if (isSavePoint(progress.batch)) {
      await run.save();
      // What that took is no waiting for data.
      clock.runtimeIdle();
    }
    signal?.throwIfAborted();
  };
  const groups = groupBatches(batches, groupSize, (seen) => isSavePoint(firstBatch + seen));
  try {
    for await (const group of groups) {
      const chunk = stackBatches(group, settings, loader);
      await settle();
      clock.dataReady();
      running = session.step(chunk).then(async (results) => {
        clock.runtimeIdle();
        await addResults(results, group, settings, run);
        progress.seconds = clock.seconds;
        progress.dataWaitSeconds = clock.dataWaitSeconds;
        onBatch(progress.batch, meter, clock.seconds);
      });
      // Its failure is thrown by the next await; until then it must not count as unhandled.
      running.catch(() => undefined);
    }
    await settle();
  } catch (error) {
    // If the steps under way fail, that is what counts.
    await running;
    throw error;
  }
  return { meter, seconds: clock.seconds, dataWaitSeconds: clock.dataWaitSeconds };
}

/** Counts the batches of one call into the epoch. @throws TrainingError at a loss that is not finite. */
async function addResults(
  { losses, logits }: StepResults,
  group: readonly Batch[],
  { lr, classes }: StepSettings,
  { progress, firstStep, imageNames, reduce }: EpochOfRun,
): Promise<void> {
  for (const [k, { labels, indices }] of group.entries()) {
    const loss = losses[k] ?? NaN;
    if (!Number.isFinite(loss)) {
      throw notFinite(loss, firstStep + progress.batch + 1, lr, await imageNames(indices));
    }
    const own = batchSums(loss, logits, labels, classes, k * labels.length * classes);
    progress.meter.addSums((await reduce?.(own)) ?? own);
    progress.batch++;
  }
}

/** @param images what the batch's images are called. */
export function notFinite(
  loss: number,
  step: number,
  lr: number,
  images: readonly string[],
): TrainingError {
  return new TrainingError(
    `expected a finite loss, got ${loss} at step ${step} (learning rate ${lr}, images ` +
      `${images.join(', ')}); lower --lr, or look at these images`,
  );
}

/** Wall time of a pass and the time in which the runtime waited for data. */
export class EpochTimer {
  readonly #start: number;
  #idleSince: number | null;
  #waited: number;

  /** @param before the part of the pass that is done already. */
  constructor(before = { seconds: 0, dataWaitSeconds: 0 }) {
    const now = performance.now();
    this.#idleSince = now;
    this.#start = now - before.seconds * 1000;
    this.#waited = before.dataWaitSeconds * 1000;
  }

  dataReady(): void {
    if (this.#idleSince !== null) this.#waited += performance.now() - this.#idleSince;
    this.#idleSince = null;
  }

  runtimeIdle(): void {
    this.#idleSince = performance.now();
  }

  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  get dataWaitSeconds(): number {
    return this.#waited / 1000;
  }
}
