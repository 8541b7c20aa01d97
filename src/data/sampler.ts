/** In which order samples are seen, and how they are cut into batches. */

import { Philox, STREAM } from '../common/philox.js';

export interface OrderOptions {
  readonly seed: number;
  readonly epoch: number;
  /** A fresh permutation each epoch; otherwise 0, 1, 2, ... */
  readonly shuffle: boolean;
}

/** The sample indices of one epoch, each once: a function of (seed, epoch) and nothing else. */
export function epochOrder(length: number, { seed, epoch, shuffle }: OrderOptions): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  if (!shuffle) return order;
  // Fisher and Yates: every permutation is equally likely.
  const random = new Philox(seed, STREAM.shuffle, epoch);
  for (let last = length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const index = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = index;
  }
  return order;
}

/** One of several ranks that share an epoch. */
export interface Shard {
  readonly rank: number;
  readonly ranks: number;
}

/**
 * A rank's part of an order that all ranks have: every `ranks`-th sample, from `rank` on.
 *
 * Source: torch.utils.data.DistributedSampler (`drop_last=False`).
 *
 * @param padded whether all ranks get equally many, the order going on from its start where it ends.
 */
export function shardOf(
  order: Uint32Array,
  { rank, ranks }: Shard,
  padded: boolean,
): Uint32Array<ArrayBuffer> {
  const length = shardLength(order.length, { rank, ranks }, padded);
  return Uint32Array.from({ length }, (_, i) => order[(i * ranks + rank) % order.length] ?? 0);
}

/** Samples that {@link shardOf} gives a rank. */
export function shardLength(total: number, { rank, ranks }: Shard, padded: boolean): number {
  return padded ? Math.ceil(total / ranks) : Math.ceil(Math.max(0, total - rank) / ranks);
}

/** Cuts an order into batches. The last may be smaller: no sample is dropped. */
export function batches(order: Uint32Array, batchSize: number): Uint32Array[] {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new RangeError(`expected a batch size of at least 1, got ${batchSize}`);
  }
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, batch) =>
    order.slice(batch * batchSize, (batch + 1) * batchSize),
  );
}
