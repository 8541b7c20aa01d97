/** A trained network that classifies single images, with the preprocessing of validation. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { DatasetError } from '../common/errors.js';
import type { InputImage } from '../data/dataset.js';
import { fitEvaluation, type EvaluationTransforms } from '../images/workers/graph-input.js';
import { LoaderPool } from '../images/workers/worker-pool.js';
import type { ImageDecoder, Platform } from '../platform/platform.js';
import { describeModel, type ModelFile } from './model-file.js';
import { OrtWorker } from '../session/ort-worker.js';
import { float32Tensor } from '../common/tensor.js';

/** The logits of one image, [C], or the error if it cannot be read. */
export type Classification<T extends InputImage> =
  | { readonly item: T; readonly logits: Float32Array; readonly error?: undefined }
  | { readonly item: T; readonly logits?: undefined; readonly error: DatasetError };

/** Part of the machine that a classifier may use. */
export interface ClassifierOptions {
  /** Threads that decode and preprocess; default 4. */
  readonly workers?: number;
  /** CPU threads of ONNX Runtime; default 0, which leaves the number to ONNX Runtime. */
  readonly threads?: number;
}

/** The host's parts that a classifier needs. */
export interface ClassifierPlatform {
  readonly platform: Pick<Platform, 'images' | 'ort'>;
}

/** A model that is loaded, and what it is run with. */
interface OpenModel {
  readonly model: ModelFile;
  readonly artifacts: Artifacts | null;
  readonly session: number;
  readonly runtime: OrtWorker;
}

/** A trained network that classifies images. It holds threads until it is closed. */
export class Classifier {
  readonly classes: readonly string[];
  readonly #runtime: OrtWorker;
  readonly #pool: LoaderPool | null;
  readonly #ahead: number;
  readonly #decoder: ImageDecoder;
  readonly #artifacts: Artifacts | null;
  readonly #session: number;
  readonly model: ModelFile;

  /** @internal */
  protected constructor(
    { model, artifacts, session, runtime }: OpenModel,
    images: Platform['images'],
    workers = 4,
  ) {
    this.model = model;
    this.classes = model.classes;
    this.#artifacts = artifacts;
    this.#session = session;
    this.#runtime = runtime;
    this.#decoder = images;
    const { exif } = model;
    this.#pool = artifacts === null ? null : new LoaderPool({ artifacts, images, workers, exif });
    // Without a pool the images are decoded here, and each may take a worker's memory.
    this.#ahead = artifacts === null ? workers : 2 * workers;
  }

  /**
   * Loads a model.
   *
   * @param bytes a model that `exportInference` wrote, in any form.
   * @param artifacts artifacts whose preprocessing to use; null for a model that takes decoded images.
   */
  static async open(
    bytes: Uint8Array,
    artifacts: Artifacts | null,
    { workers, threads, platform }: ClassifierOptions & ClassifierPlatform,
  ): Promise<Classifier> {
    const model = describeModel('the model', bytes);
    const runtime = new OrtWorker(platform.ort, 'cpu', threads ?? 0);
    try {
      const session = await runtime.load(bytes);
      const preprocessed = model.input === 'image' ? null : artifacts;
      const opened = { model, artifacts: preprocessed, session, runtime };
      return new this(opened, platform.images, workers);
    } catch (error) {
      await runtime.close();
      throw error;
    }
  }

  /** Ends the threads after the images they are at. */
  async close(): Promise<void> {
    await this.#pool?.close();
    await this.#runtime.close();
  }

  /**
   * Classifies images, in order. An image that cannot be read yields its error; the others go on.
   *
   * For a model whose output is probabilities, the logits are their logarithms: softmax gives the probabilities back.
   */
  async *classify<T extends InputImage>(
    items: AsyncIterable<T> | Iterable<T>,
  ): AsyncGenerator<Classification<T>> {
    const underWay: Promise<Classification<T>>[] = [];
    for await (const item of items) {
      const outcome = this.#one(item);
      // Thrown when the image's turn comes; never, if the consumer leaves before.
      outcome.catch(() => undefined);
      underWay.push(outcome);
      if (underWay.length < this.#ahead) continue;
      const first = await underWay.shift();
      if (first !== undefined) yield first;
    }
    for (const outcome of underWay) yield await outcome;
  }

  async #one<T extends InputImage>(item: T): Promise<Classification<T>> {
    try {
      const feeds = this.#artifacts === null ? await this.#raw(item) : await this.#pixels(item);
      const { output } = this.model;
      const results = await this.#runtime.run(this.#session, feeds, [output]);
      const values = results[output]?.data as Float32Array;
      return { item, logits: output === 'logits' ? values : values.map(Math.log) };
    } catch (error) {
      if (error instanceof DatasetError) return { item, error };
      throw error;
    }
  }

  /** Returns the pixels of an image, preprocessed as in validation, [1, 3, S, S]. */
  async #pixels(item: InputImage): Promise<{ input: ReturnType<typeof float32Tensor> }> {
    const side = this.#artifacts?.manifest.preprocessing.inputSize ?? 0;
    const shape = [1, 3, side, side];
    const buffer = new ArrayBuffer(3 * side * side * Float32Array.BYTES_PER_ELEMENT);
    const items = [{ ...item, index: 0 }];
    const task = { mode: 'evaluate', seed: 0, epoch: 0, items, buffer } as const;
    const done = await this.#pool?.run(task, this);
    return { input: float32Tensor(shape, new Float32Array(done?.buffer ?? buffer)) };
  }

  async #raw({ image, name }: InputImage): Promise<Parameters<OrtWorker['run']>[1]> {
    const decoded = await this.#decoder.decode(image, name, this.model.exif);
    const transforms = evaluationTransforms(this.model.preprocessing);
    const { data, width, height } = transforms ? fitEvaluation(decoded, transforms) : decoded;
    return { image: { dtype: 'uint8', shape: [height, width, 3], data } };
  }
}

/** Returns the transforms in a model's metadata; null if it has none that this version knows. */
export function evaluationTransforms(preprocessing: unknown): EvaluationTransforms | null {
  if (typeof preprocessing !== 'object' || preprocessing === null) return null;
  const { inputSize, resizeSize, interpolation } = preprocessing as Record<string, unknown>;
  return typeof inputSize === 'number' &&
    typeof resizeSize === 'number' &&
    (interpolation === 'bilinear' || interpolation === 'bicubic')
    ? { inputSize, resizeSize, interpolation }
    : null;
}
