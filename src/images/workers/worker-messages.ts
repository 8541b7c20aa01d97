/** Messages between a `LoaderPool` and the `ImageServer`s in its threads. */

import type { ExifUse } from '../../platform/platform.js';
import type { SharedImage } from './image-cache.js';
import type { CropRanges } from '../transforms.js';
import type { EvaluationTransforms } from './graph-input.js';

/** `train`: random crop and flip. `evaluate`: resize and centre crop. */
export type LoaderMode = 'train' | 'evaluate';

/** Settings that a thread is started with. */
export interface LoaderSetup extends EvaluationTransforms {
  /** The preprocessing graphs: ONNX models. */
  readonly graphs: Readonly<Record<LoaderMode, Uint8Array>>;
  readonly crop: CropRanges;
  readonly flipProbability: number;
  /** Use of the EXIF orientation of every image. */
  readonly exif: ExifUse;
}

/** One image of a batch. */
export interface LoaderItem {
  /** Path, encoded bytes, or the decoded image from a cache. */
  readonly image: string | Uint8Array | SharedImage;
  /** Whether the answer should hold the decoded image; default: no. */
  readonly keep?: boolean;
  /** The sample's index in the data set. Crop and flip are functions of it. */
  readonly index: number;
  /** How an error calls the image. */
  readonly name: string;
}

/** One batch to decode and preprocess. */
export interface LoaderTask {
  readonly mode: LoaderMode;
  readonly seed: number;
  readonly epoch: number;
  readonly items: readonly LoaderItem[];
  /** Memory for the pixels: float32 [N, 3, S, S]. It moves to the thread, and back with the answer. */
  readonly buffer: ArrayBuffer;
}

/** A finished batch. */
export interface LoadedTask {
  /** The task's buffer, filled. */
  readonly buffer: ArrayBuffer;
  /** Decoded images with `keep`, by position. */
  readonly decoded: ReadonlyMap<number, SharedImage>;
}

/** Result of checking an image file. */
export interface Inspection {
  /** SHA-256 of the file's bytes; null if they cannot be read. */
  readonly sha256: string | null;
  /** Why the image cannot be used; null for a good image. */
  readonly problem: string | null;
  /** EXIF orientation that the setting `exif` decides on, 1 to 8; null if the file has none, or is always turned. */
  readonly orientation: number | null;
  /** Why there is nothing to see on the decoded image, and its kind of file; null if there is something. */
  readonly blank: string | null;
}

/** Facts about an image that cannot be used. */
export function badImage(sha256: string | null, problem: string): Inspection {
  return { sha256, problem, orientation: null, blank: null };
}

/** `load` is answered with a {@link LoadedTask}, `inspect` with an {@link Inspection} per file. */
export type LoaderRequest =
  | { readonly kind: 'load'; readonly task: LoaderTask }
  | { readonly kind: 'inspect'; readonly files: readonly string[] };
