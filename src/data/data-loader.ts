/** Batches of normalised images, in order, prepared by worker threads ahead of their use. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { Batch, BatchLoader, EpochOptions } from './batch.js';
import type { Dataset, Sample } from './dataset.js';
import { ConfigError, DatasetError } from '../common/errors.js';
import type { ImageBackend } from '../platform/platform.js';
import { LoaderPool } from '../images/workers/worker-pool.js';
import type { LoaderItem, LoaderMode } from '../images/workers/worker-messages.js';
import type { ImageCache } from '../images/workers/image-cache.js';
import { drawMasks } from './masks.js';
import { batches, epochOrder, shardLength, shardOf, type Shard } from './sampler.js';

/** Options of a {@link DataLoader}. */
export interface LoaderOptions {
  readonly artifacts: Artifacts;
  readonly dataset: Dataset;
  /** `train`: random crop and flip. `evaluate`: resize and centre crop. */
  readonly mode: LoaderMode;
  readonly batchSize: number;
  /** Seed of the order, the crops, the flips and the masks. */
  readonly seed: number;
  /**
   * The part of each epoch that this rank loads; default: all of it. With `train` the parts are padded to equal
   * sizes; with `evaluate` each sample is in exactly one part.
   */
  readonly shard?: Shard;
  /** Decodes images in the loader's own pool. Needed without `pool`. */
  readonly images?: ImageBackend;
  /** Worker threads of the loader's own pool; default 4. Ignored with `pool`. */
  readonly workers?: number;
  /** A pool to share with other loaders; {@link DataLoader.close} leaves it open. */
  readonly pool?: LoaderPool;
  /** Batches prepared ahead of the consumer; default two per worker, as in PyTorch's DataLoader. */
  readonly prefetch?: number;
  /** Keeps decoded image files for later epochs; loaders may share it. Default: none. */
  readonly cache?: ImageCache | undefined;
}

/** An epoch that is being loaded, shared by its batches. */
interface EpochIteration {
  readonly epoch: number;
  /** Set when the consumer stopped asking for batches. */
  left: boolean;
}

/**
 * Loads batches. The content of a batch depends on (seed, epoch, batch number) only, not on the number of workers, on
 * timing, or on which batches were loaded before.
 */
export class DataLoader implements BatchLoader {
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly #options: LoaderOptions;
  readonly #pool: LoaderPool;
  readonly #prefetch: number;
  readonly #imageLength: number;
  readonly #recycled = new Set<ArrayBuffer>();
  #waited = 0;

  /** @throws ConfigError if a number is out of its range. */
  constructor(options: LoaderOptions) {
    const { dataset, batchSize, pool } = options;
    atLeastOne('batch size', batchSize);
    if (options.prefetch !== undefined) atLeastOne('prefetch', options.prefetch);
    this.#options = options;
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.#pool = pool ?? ownPool(options);
    this.#prefetch = options.prefetch ?? 2 * this.#pool.workers;
    this.#imageLength = 3 * options.artifacts.manifest.preprocessing.inputSize ** 2;
  }

  /** Samples of the data set, those of other ranks included. */
  get length(): number {
    return this.dataset.length;
  }

  /** Number of batches of an epoch. */
  get batchCount(): number {
    const { shard, mode } = this.#options;
    const { length } = this.dataset;
    const own = shard === undefined ? length : shardLength(length, shard, mode === 'train');
    return Math.ceil(own / this.batchSize);
  }

  /** Seconds that consumers have waited for batches, over all epochs so far. */
  get waitSeconds(): number {
    return this.#waited / 1000;
  }

  /**
   * Yields the batches of one epoch, in order. At most `prefetch` of them are prepared ahead, and none before the
   * first is asked for. Leaving the loop early stops the preparation. The last batch may be smaller.
   *
   * @param epoch 0, 1, 2, ...
   * @throws DatasetError, naming the image, in place of a batch with an unreadable image.
   */
  async *epoch(
    epoch: number,
    { shuffle = this.#options.mode === 'train', startBatch = 0 }: EpochOptions = {},
  ): AsyncGenerator<Batch, void, undefined> {
    const { seed, shard, mode } = this.#options;
    const whole = epochOrder(this.dataset.length, { seed, epoch, shuffle });
    const order = shard === undefined ? whole : shardOf(whole, shard, mode === 'train');
    const remaining = batches(order, this.batchSize).slice(startBatch);
    const underWay: Promise<Batch>[] = [];
    const iteration: EpochIteration = { epoch, left: false };
    try {
      while (remaining.length > 0 || underWay.length > 0) {
        while (remaining.length > 0 && underWay.length < this.#prefetch) {
          const batch = this.#load(remaining.shift() ?? new Uint32Array(), iteration);
          // Thrown when the batch's turn comes; never, if the consumer leaves before.
          batch.catch(() => undefined);
          underWay.push(batch);
        }
        const start = performance.now();
        const batch = await underWay.shift();
        this.#waited += performance.now() - start;
        if (batch) yield batch;
      }
    } finally {
      iteration.left = true;
      this.#pool.cancel(iteration);
      // Workers still finish the batches they are at; reuse their memory in the next epoch.
      for (const batch of underWay) {
        batch.then(
          ({ images }) => {
            this.recycle(images);
          },
          () => undefined,
        );
      }
    }
  }

  /** Takes back a batch's memory for a later batch. The caller must not use `images` afterwards. */
  recycle(images: Float32Array<ArrayBuffer>): void {
    if (images.byteLength > 0 && this.#recycled.size < this.#prefetch)
      this.#recycled.add(images.buffer);
  }

  /** Returns how messages call these samples: the paths of their files, or `sample N`. */
  async names(indices: Uint32Array): Promise<string[]> {
    const names: string[] = [];
    for (const index of indices) {
      const { image } = await this.dataset.get(index);
      names.push(typeof image === 'string' ? image : `sample ${index}`);
    }
    return names;
  }

  /** Ends the workers, unless the pool is shared, and waits for them. Batches still waited for fail with an error. */
  async close(): Promise<void> {
    this.#recycled.clear();
    if (!this.#options.pool) await this.#pool.close();
  }

  async #load(indices: Uint32Array, iteration: EpochIteration): Promise<Batch> {
    const items: LoaderItem[] = [];
    const labels = new Int32Array(indices.length);
    for (const [position, index] of indices.entries()) {
      if (iteration.left) throw new Error('the epoch was left before this batch was loaded');
      const sample = await this.#sample(index);
      labels[position] = sample.label;
      items.push(this.#item(sample, index));
    }
    const { mode, seed } = this.#options;
    const task = {
      mode,
      seed,
      epoch: iteration.epoch,
      items,
      buffer: this.#buffer(indices.length),
    };
    const { buffer, decoded } = await this.#pool.run(task, iteration);
    for (const [position, image] of decoded) {
      this.#options.cache?.add(items[position]?.name ?? '', image);
    }
    const { masks } = this.#options.artifacts.manifest;
    const isMasked = mode === 'train' && masks !== null;
    return {
      images: new Float32Array(buffer),
      labels,
      indices,
      ...(isMasked ? { masks: drawMasks(masks, { seed, epoch: iteration.epoch, indices }) } : {}),
    };
  }

  /** Caches files only: a data set in code may return other bytes each time. */
  #item({ image }: Sample, index: number): LoaderItem {
    const { cache } = this.#options;
    if (typeof image !== 'string') {
      return { image, index, name: `sample ${index} of the data set` };
    }
    const cached = cache?.get(image);
    const keep = cache?.isFull === false && cached === undefined;
    return { image: cached ?? image, index, name: image, keep };
  }

  async #sample(index: number): Promise<Sample> {
    const sample = await this.dataset.get(index);
    const classes = this.dataset.classes.length;
    if (!Number.isInteger(sample.label) || sample.label < 0 || sample.label >= classes) {
      throw new DatasetError(
        `expected a label from 0 to ${classes - 1}, got ${sample.label} for sample ${index}; ` +
          `labels index the data set's classes`,
      );
    }
    if (typeof sample.image === 'string') return sample;
    if (ArrayBuffer.isView(sample.image)) return { ...sample, image: ownBytes(sample.image) };
    throw new DatasetError(
      `expected a path or encoded bytes (Uint8Array) as the image of sample ${index}, ` +
        `got ${typeof sample.image}`,
    );
  }

  /** Returns a recycled buffer of the right size, or a new one. */
  #buffer(count: number): ArrayBuffer {
    const bytes = count * this.#imageLength * Float32Array.BYTES_PER_ELEMENT;
    for (const buffer of this.#recycled) {
      if (buffer.byteLength !== bytes) continue;
      this.#recycled.delete(buffer);
      return buffer;
    }
    return new ArrayBuffer(bytes);
  }
}

/**
 * Returns the bytes in a buffer of their own. Posting a view of a larger buffer (such as Node's Buffer pool) to a worker
 * would copy the whole buffer.
 */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

function ownPool({ artifacts, images, workers = 4 }: LoaderOptions): LoaderPool {
  if (images === undefined) {
    throw new ConfigError('expected a pool or an image backend, got neither; give one of them');
  }
  return new LoaderPool({ artifacts, images, workers });
}

function atLeastOne(what: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ConfigError(`expected a ${what} of at least 1, got ${value}`);
  }
}
