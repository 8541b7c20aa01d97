/** Batches of images, whoever prepares them. */

/** Preprocessed images and their labels. */
export interface Batch {
  /** float32 [N, 3, S, S], normalised. The consumer owns the memory and may {@link BatchLoader.recycle} it. */
  readonly images: Float32Array<ArrayBuffer>;
  /** [N], indices of classes. */
  readonly labels: Int32Array;
  /** [N], indices of the samples in the data set. */
  readonly indices: Uint32Array;
  /** Masks of Dropout and stochastic depth, [N, width]; absent if the network has neither, and in evaluation. */
  readonly masks?: Float32Array<ArrayBuffer>;
}

/** How one epoch differs from the default. */
export interface EpochOptions {
  /** Whether the epoch has a random order of its own; default: true for `train`, false for `evaluate`. */
  readonly shuffle?: boolean;
  /** First batch to deliver, for an epoch that was interrupted; default 0. */
  readonly startBatch?: number;
}

/** A data loader as the trainer uses it. */
export interface BatchLoader {
  /** Samples of the data set, those of other ranks included. */
  readonly length: number;
  /** Batches of an epoch; the last may be smaller. */
  readonly batchCount: number;
  /** Returns the batches of an epoch, in order. Leaving the loop early stops their preparation. */
  epoch(epoch: number, options?: EpochOptions): AsyncIterable<Batch>;
  /** Takes a batch's memory back for a later batch. `images` must not be used afterwards. */
  recycle(images: Float32Array<ArrayBuffer>): void;
  /** Returns how messages call these samples: the paths of their files, or `sample N`. */
  names(indices: Uint32Array): Promise<string[]>;
}
