/** One pass over the training images: batches into chunks, chunks through the training session. */

import type { Batch, DataLoader } from './loader.js';
import { Meter, meanTargets } from './metrics.js';
import type { Chunk, TrainSession } from './session.js';
import { TrainingError } from './errors.js';

/** Steps a call are chosen so that a call holds about this many images. */
const IMAGES_PER_CALL = 32;
/** More steps a call save nothing (the copy of the state is then about 1 % of the call). */
const MAX_STEPS_PER_CALL = 8;

/** Training steps that share one call, whose fixed cost is one copy of the state. */
export function stepsPerCall(batchSize: number): number {
  return Math.max(1, Math.min(MAX_STEPS_PER_CALL, Math.floor(IMAGES_PER_CALL / batchSize)));
}

/** Consecutive batches of one size, for one call. */
export async function* groupBatches(
  batches: AsyncIterable<Batch>,
  count: number,
): AsyncGenerator<Batch[], void, undefined> {
  let group: Batch[] = [];
  for await (const batch of batches) {
    if (group[0] !== undefined && group[0].labels.length !== batch.labels.length) {
      // The last, smaller batch of an epoch: a call has one batch size.
      yield group;
      group = [];
    }
    group.push(batch);
    if (group.length === count) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}

/** What every step of an epoch has in common. */
export interface StepSettings {
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly classes: number;
}

/** Batches of one size as one chunk: [K, N, 3, S, S]. Their buffers go back to the loader. */
export function toChunk(group: Batch[], settings: StepSettings, loader: DataLoader): Chunk {
  const [first] = group;
  if (first === undefined) throw new RangeError('a chunk holds at least one batch');
  const steps = group.length;
  const images = new Float32Array(steps * first.images.length);
  const targets = new Float32Array(steps * first.labels.length * settings.classes);
  group.forEach((batch, k) => {
    images.set(batch.images, k * batch.images.length);
    const rows = meanTargets(batch.labels, settings.classes);
    targets.set(rows, k * rows.length);
    loader.recycle(batch.images);
  });
  return {
    steps,
    batchSize: first.labels.length,
    images,
    targets,
    lr: new Float32Array(steps).fill(settings.lr),
    headLr: new Float32Array(steps).fill(settings.lr),
    momentum: settings.momentum,
    weightDecay: settings.weightDecay,
  };
}

/** A finished pass. */
export interface Pass {
  readonly meter: Meter;
  readonly seconds: number;
  /** Part of `seconds` in which the runtime had nothing to do because no batch was ready. */
  readonly dataWaitSeconds: number;
}

/** Called after each batch: how many are done, and the pass's sums so far. */
export type OnBatch = (batch: number, meter: Meter, seconds: number) => void;

/**
 * Trains on every batch of `batches`. While the runtime computes one chunk, the next is put together.
 *
 * @throws TrainingError as soon as a loss is not finite.
 */
export async function trainEpoch(
  session: TrainSession,
  loader: DataLoader,
  batches: AsyncIterable<Batch>,
  groupSize: number,
  settings: StepSettings,
  onBatch: OnBatch,
): Promise<Pass> {
  const clock = new PassClock();
  const meter = new Meter();
  let done = 0;
  let running = Promise.resolve();
  try {
    for await (const group of groupBatches(batches, groupSize)) {
      const chunk = toChunk(group, settings, loader);
      await running;
      clock.dataReady();
      running = session.step(chunk).then(({ losses, logits }) => {
        clock.runtimeIdle();
        group.forEach(({ labels, indices }, k) => {
          const loss = losses[k] ?? NaN;
          if (!Number.isFinite(loss)) throw notFinite(loss, done + 1, settings.lr, indices);
          const offset = k * labels.length * settings.classes;
          meter.add(loss, logits, labels, settings.classes, offset);
          onBatch(++done, meter, clock.seconds);
        });
      });
      // Its failure is thrown by the next await; until then it must not count as unhandled.
      running.catch(() => undefined);
    }
  } finally {
    // Nobody may close the runtime while a run is in flight.
    await running.catch(() => undefined);
  }
  await running;
  return { meter, seconds: clock.seconds, dataWaitSeconds: clock.dataWaitSeconds };
}

function notFinite(loss: number, batch: number, lr: number, indices: Uint32Array): TrainingError {
  return new TrainingError(
    `expected a finite loss, got ${loss} at batch ${batch} of the epoch (learning rate ${lr}, ` +
      `training images ${[...indices].join(', ')}); lower --lr, or look at these images`,
  );
}

/** Wall time of a pass and the time in which the runtime waited for data. */
export class PassClock {
  readonly #start = performance.now();
  #idleSince: number | null = this.#start;
  #waited = 0;

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
