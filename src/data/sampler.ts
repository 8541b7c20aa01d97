/** The order of the samples in an epoch, and its batches. */

import { Philox, STREAM } from '../common/philox.js';

/** Parameters of an epoch's order. */
export interface OrderOptions {
  readonly seed: number;
  readonly epoch: number;
  /** Whether each epoch has a random order of its own. If not, the order is 0, 1, 2, ... */
  readonly shuffle: boolean;
}

/** Returns the sample indices of one epoch, each once. They depend on (length, seed, epoch) and nothing else. */
export function epochOrder(length: number, { seed, epoch, shuffle }: OrderOptions): Uint32Array {
  const order = Uint32Array.from({ length }, (_, index) => index);
  if (!shuffle) return order;
  // Fisher-Yates shuffle: every permutation is equally likely.
  const random = new Philox(seed, STREAM.shuffle, epoch);
  for (let last = length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const index = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = index;
  }
  return order;
}

/** The part of one rank when several ranks share an epoch. */
export interface Shard {
  readonly rank: number;
  /** Number of ranks. */
  readonly ranks: number;
}

/**
 * Returns a rank's part of the order that all ranks share: every `ranks`-th sample, from `rank` on.
 *
 * Source: torch.utils.data.DistributedSampler (`drop_last=False`).
 *
 * @param padded whether all ranks get the same number of samples; the order then continues from its start.
 */
export function shardOf(
  order: Uint32Array,
  { rank, ranks }: Shard,
  padded: boolean,
): Uint32Array<ArrayBuffer> {
  const length = shardLength(order.length, { rank, ranks }, padded);
  return Uint32Array.from({ length }, (_, i) => order[(i * ranks + rank) % order.length] ?? 0);
}

/** Returns the number of samples that {@link shardOf} gives a rank. */
export function shardLength(total: number, { rank, ranks }: Shard, padded: boolean): number {
  return padded ? Math.ceil(total / ranks) : Math.ceil(Math.max(0, total - rank) / ranks);
}

/** Cuts an order into batches. The last batch may be smaller; no sample is dropped. */
export function batches(order: Uint32Array, batchSize: number): Uint32Array[] {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new RangeError(`expected a batch size of at least 1, got ${batchSize}`);
  }
  return Array.from({ length: Math.ceil(order.length / batchSize) }, (_, batch) =>
    order.slice(batch * batchSize, (batch + 1) * batchSize),
  );
}
