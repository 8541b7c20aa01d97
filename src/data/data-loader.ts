/** Batches of normalised images, in order, prepared by worker threads ahead of their use. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { Dataset, Sample } from './dataset.js';
import { ConfigError, DatasetError } from '../common/errors.js';
import { LoaderPool } from '../images/worker-pool.js';
import type { LoaderItem, LoaderMode } from '../images/worker-messages.js';
import type { ImageCache } from '../images/image-cache.js';
import { batches, epochOrder, shardLength, shardOf, type Shard } from './sampler.js';

export interface LoaderOptions {
  readonly artifacts: Artifacts;
  readonly dataset: Dataset;
  /** `train`: random crop and flip. `evaluate`: resize and centre crop. */
  readonly mode: LoaderMode;
  readonly batchSize: number;
  /** Of the order, the crops and the flips. */
  readonly seed: number;
  /**
   * The part of each epoch that is this rank's; default: all of it. With `train` the parts are padded to
   * equal sizes, with `evaluate` each sample is in one of them.
   */
  readonly shard?: Shard;
  /** Worker threads of the loader's own pool; default 4. Not with `pool`. */
  readonly workers?: number;
  /** A pool to share with other loaders; {@link DataLoader.close} leaves it open. */
  readonly pool?: LoaderPool;
  /** Batches prepared ahead of the consumer; default two per worker, as in PyTorch. */
  readonly prefetch?: number;
  /** Keeps the decoded images of files for later epochs; may be shared with other loaders. Default: none. */
  readonly cache?: ImageCache | undefined;
}

export interface EpochOptions {
  /** A fresh order each epoch; default: yes for `train`, no for `evaluate`. */
  readonly shuffle?: boolean;
  /** The first batch to deliver, to go on in the middle of an epoch; default 0. */
  readonly startBatch?: number;
}

export interface Batch {
  /** float32 [N,3,S,S], normalised. Its memory is the consumer's, to keep or to {@link DataLoader.recycle}. */
  readonly images: Float32Array<ArrayBuffer>;
  /** [N], indices of classes. */
  readonly labels: Int32Array;
  /** [N], indices of the samples in the data set. */
  readonly indices: Uint32Array;
}

/** An epoch under way: what its batches have in common, and the mark that it was left. */
interface EpochIteration {
  readonly epoch: number;
  left: boolean;
}

/**
 * What a batch holds is a function of (seed, epoch, batch number): it does not depend on the number of
 * workers, on timing, or on which batches were loaded before.
 */
export class DataLoader {
  readonly dataset: Dataset;
  readonly batchSize: number;
  readonly #options: LoaderOptions;
  readonly #pool: LoaderPool;
  readonly #prefetch: number;
  readonly #imageLength: number;
  readonly #spare = new Set<ArrayBuffer>();
  #waited = 0;

  /** @throws ConfigError if a number is out of its range */
  constructor(options: LoaderOptions) {
    const { artifacts, dataset, batchSize, workers, pool } = options;
    atLeastOne('batch size', batchSize);
    if (options.prefetch !== undefined) atLeastOne('prefetch', options.prefetch);
    this.#options = options;
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.#pool =
      pool ?? new LoaderPool(workers === undefined ? { artifacts } : { artifacts, workers });
    this.#prefetch = options.prefetch ?? 2 * this.#pool.workers;
    this.#imageLength = 3 * artifacts.manifest.preprocessing.inputSize ** 2;
  }

  /** Batches of an epoch; the last may be smaller. */
  get batchCount(): number {
    const { shard, mode } = this.#options;
    const { length } = this.dataset;
    const own = shard === undefined ? length : shardLength(length, shard, mode === 'train');
    return Math.ceil(own / this.batchSize);
  }

  /** Seconds, over all epochs so far, in which a consumer waited for a batch. */
  get waitSeconds(): number {
    return this.#waited / 1000;
  }

  /**
   * The batches of one epoch, in order. At most `prefetch` of them are prepared or under way, and none
   * before the first is asked for. Leaving the loop early stops the preparation.
   *
   * @param epoch 0, 1, 2, ...
   * @throws DatasetError, naming the image, in place of the batch that has an unreadable one
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
    const pass: EpochIteration = { epoch, left: false };
    try {
      while (remaining.length > 0 || underWay.length > 0) {
        while (remaining.length > 0 && underWay.length < this.#prefetch) {
          const batch = this.#load(remaining.shift() ?? new Uint32Array(), pass);
          // Its error is thrown when its turn comes, or never, if the consumer leaves before.
          batch.catch(() => undefined);
          underWay.push(batch);
        }
        const start = performance.now();
        const batch = await underWay.shift();
        this.#waited += performance.now() - start;
        if (batch) yield batch;
      }
    } finally {
      pass.left = true;
      this.#pool.cancel(pass);
      // What a worker is at comes back unused; its memory is for the next epoch.
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

  /** Gives a batch's memory back for a later batch. `images` must not be used afterwards. */
  recycle(images: Float32Array<ArrayBuffer>): void {
    if (images.byteLength > 0 && this.#spare.size < this.#prefetch) this.#spare.add(images.buffer);
  }

  /**
   * Ends the workers (unless the pool is shared) and waits for them. Batches that are being waited for
   * fail with an error.
   */
  async close(): Promise<void> {
    this.#spare.clear();
    if (!this.#options.pool) await this.#pool.close();
  }

  async #load(indices: Uint32Array, pass: EpochIteration): Promise<Batch> {
    const items: LoaderItem[] = [];
    const labels = new Int32Array(indices.length);
    for (const [position, index] of indices.entries()) {
      if (pass.left) throw new Error('the epoch was left before this batch was loaded');
      const sample = await this.#sample(index);
      labels[position] = sample.label;
      items.push(this.#item(sample, index));
    }
    const { mode, seed } = this.#options;
    const task = { mode, seed, epoch: pass.epoch, items, buffer: this.#buffer(indices.length) };
    const { buffer, decoded } = await this.#pool.run(task, pass);
    for (const [position, image] of decoded) {
      this.#options.cache?.add(items[position]?.name ?? '', image);
    }
    return { images: new Float32Array(buffer), labels, indices };
  }

  /** Only files are cached: the bytes of a data set in code may be others each time. */
  #item({ image }: Sample, index: number): LoaderItem {
    const { cache } = this.#options;
    if (typeof image !== 'string') {
      return { image, index, name: `sample ${index} of the data set` };
    }
    const known = cache?.get(image);
    const keep = cache?.isFull === false && known === undefined;
    return { image: known ?? image, index, name: image, keep };
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

  /** A spare buffer of the right size, or a new one. */
  #buffer(count: number): ArrayBuffer {
    const bytes = count * this.#imageLength * Float32Array.BYTES_PER_ELEMENT;
    for (const buffer of this.#spare) {
      if (buffer.byteLength !== bytes) continue;
      this.#spare.delete(buffer);
      return buffer;
    }
    return new ArrayBuffer(bytes);
  }
}

/** Just these bytes: posting a part of a larger buffer, a Buffer of Node's pool say, would copy it all. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

function atLeastOne(what: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ConfigError(`expected a ${what} of at least 1, got ${value}`);
  }
}
