/** The messages between the loader's main-thread half and its worker threads. */

import type { SharedImage } from './image-cache.js';
import type { CropRanges } from './transforms.js';

export type LoaderMode = 'train' | 'evaluate';

/** What a worker thread is started with. */
export interface LoaderSetup {
  /** Paths of the preprocessing graphs. */
  readonly graphs: Readonly<Record<LoaderMode, string>>;
  /** Side of the square the network sees, in pixels. */
  readonly inputSize: number;
  readonly crop: CropRanges;
  readonly flipProbability: number;
}

export interface LoaderItem {
  /** Path, encoded bytes, or what a cache has of it. */
  readonly image: string | Uint8Array | SharedImage;
  /** Whether the decoded image is to come back with the reply; default: no. */
  readonly keep?: boolean;
  /** The sample's index in the data set; crop and flip are a function of it. */
  readonly index: number;
  /** What to call the image in an error. */
  readonly name: string;
}

/** One batch to decode and preprocess. */
export interface LoaderTask {
  readonly mode: LoaderMode;
  readonly seed: number;
  readonly epoch: number;
  readonly items: readonly LoaderItem[];
  /** Where the pixels go: float32 [N,3,S,S]. Given away, and back with the reply. */
  readonly buffer: ArrayBuffer;
}

/** A batch that is done. */
export interface LoadedTask {
  /** The task's, filled. */
  readonly buffer: ArrayBuffer;
  /** By position: the images that were to be kept. */
  readonly decoded: ReadonlyMap<number, SharedImage>;
}

/** What looking through an image file gave. */
export interface Inspection {
  /** Hash of the file's bytes; null if they cannot be read. */
  readonly sha256: string | null;
  /** Why it cannot be used; null for a good image. */
  readonly problem: string | null;
}

export type LoaderRequest =
  | { readonly kind: 'load'; readonly id: number; readonly task: LoaderTask }
  | { readonly kind: 'inspect'; readonly id: number; readonly files: readonly string[] }
  | { readonly kind: 'stop' };

export type LoaderReply =
  | ({ readonly kind: 'done'; readonly id: number } & LoadedTask)
  | { readonly kind: 'inspected'; readonly id: number; readonly results: readonly Inspection[] }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly message: string;
      /** The image is at fault, not the program. */
      readonly isDatasetError: boolean;
    };
