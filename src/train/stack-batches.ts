/** Batches put together for one call of the training graph: Keras's `steps_per_execution`. */

import type { Batch } from '../data/batch.js';
import type { StackedBatches } from '../session/train-session.js';
import { targetRows, type TargetSettings } from './loss-targets.js';
import type { LearningRates } from './lr-schedule.js';

/** Settings of the training step, apart from its learning rates. */
export interface StepSettings extends TargetSettings {
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov?: boolean;
  /** Norm that all gradients together are scaled down to. 0, the default, does not clip. */
  readonly clipGradNorm?: number;
}

export interface StackOptions {
  /** Number of classes. */
  readonly classes: number;
  readonly settings: StepSettings;
  /** Takes the memory of a batch's images back. */
  readonly recycle: (images: Float32Array<ArrayBuffer>) => void;
}

/** One call of the training graph. */
export interface Chunk {
  /** Input of the graph. Its memory is given away with the call. */
  readonly stacked: StackedBatches;
  /** Labels, indices and rates of each batch, for counting its results. */
  readonly steps: readonly (Pick<Batch, 'labels' | 'indices'> & {
    readonly rates: LearningRates;
  })[];
}

/**
 * Stacks batches of one size: images [K, N, 3, S, S], and masks [K, N, width] if the network has any. Their memory is recycled.
 *
 * @param rates learning rates of each batch's step.
 */
export function stack(
  batches: readonly Batch[],
  rates: readonly LearningRates[],
  { classes, settings, recycle }: StackOptions,
): Chunk {
  const [first] = batches;
  if (first === undefined) throw new RangeError('expected at least one batch to stack, got none');
  const images = new Float32Array(batches.length * first.images.length);
  const targets = new Float32Array(batches.length * first.labels.length * classes);
  const masks = first.masks && new Float32Array(batches.length * first.masks.length);
  batches.forEach((batch, k) => {
    images.set(batch.images, k * batch.images.length);
    const rows = targetRows(batch.labels, classes, settings);
    targets.set(rows, k * rows.length);
    if (batch.masks !== undefined) masks?.set(batch.masks, k * batch.masks.length);
    recycle(batch.images);
  });
  const stacked = {
    steps: batches.length,
    batchSize: first.labels.length,
    images,
    targets,
    ...(masks === undefined ? {} : { masks }),
    lr: Float32Array.from(rates, ({ lr }) => lr),
    headLr: Float32Array.from(rates, ({ headLr }) => headLr),
    momentum: settings.momentum,
    weightDecay: settings.weightDecay,
    nesterov: settings.nesterov ?? false,
    maxNorm: settings.clipGradNorm || Infinity,
  };
  const steps = batches.map(({ labels, indices }, k) => ({
    labels,
    indices,
    rates: rates[k] ?? { lr: NaN, headLr: NaN },
  }));
  return { stacked, steps };
}

export interface ChunkOptions extends StackOptions {
  /** Batches per chunk, at most. */
  readonly maxSteps: number;
  /** Returns the learning rates of a batch's step. @param batch counted from 0. */
  readonly rates: (batch: number) => LearningRates;
  /** Returns whether a chunk must end after so many batches, so that a checkpoint can be saved there. */
  readonly endsAfter?: (batches: number) => boolean;
}

/** Stacks consecutive batches of one size, up to `maxSteps` per chunk. */
export async function* stackBatches(
  batches: AsyncIterable<Batch>,
  options: ChunkOptions,
): AsyncGenerator<Chunk, void, undefined> {
  const { maxSteps, rates, endsAfter = (): boolean => false } = options;
  let waiting: Batch[] = [];
  let seen = 0;
  const take = (): Chunk => {
    const taken = waiting;
    waiting = [];
    const first = seen - taken.length;
    const own = taken.map((_, k) => rates(first + k));
    return stack(taken, own, options);
  };
  for await (const batch of batches) {
    // The last, smaller batch of an epoch is a call of its own: a call has one batch size.
    if (waiting.length > 0 && waiting[0]?.labels.length !== batch.labels.length) yield take();
    waiting.push(batch);
    seen++;
    if (waiting.length === maxSteps || endsAfter(seen)) yield take();
  }
  if (waiting.length > 0) yield take();
}
