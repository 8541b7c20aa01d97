/** A trained network on single images: pixels as in validation, logits for each class. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { DatasetError } from '../common/errors.js';
import { LoaderPool } from '../images/worker-pool.js';
import type { ImageDecoder, Platform } from '../platform/platform.js';
import { describeModel, type ModelFile } from './model-file.js';
import { OrtWorker } from '../session/ort-worker.js';
import { float32Tensor } from '../common/tensor.js';

/** An image to classify. */
export interface InputImage {
  /** What it is called, in results and messages. */
  readonly name: string;
  /** Path, or encoded bytes. */
  readonly image: string | Uint8Array;
}

/** `logits` of one image, or why there are none. */
export type Classification<T extends InputImage> =
  | { readonly item: T; readonly logits: Float32Array; readonly error?: undefined }
  | { readonly item: T; readonly error: DatasetError };

/** What a classifier may use of the machine. */
export interface ClassifierOptions {
  /** Threads that decode and preprocess; default 4. */
  readonly workers?: number;
  /** CPU threads of the runtime; 0 leaves the number to the runtime. */
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

/** A trained network that answers for images. It holds threads until it is closed. */
export class Classifier {
  readonly classes: readonly string[];
  readonly #runtime: OrtWorker;
  readonly #pool: LoaderPool | null;
  readonly #ahead: number;
  readonly #decoder: ImageDecoder;
  readonly #artifacts: Artifacts | null;
  readonly #session: number;
  readonly model: ModelFile;

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
    this.#pool = artifacts === null ? null : new LoaderPool({ artifacts, images, workers });
    this.#ahead = 2 * workers;
  }

  /**
   * Loads a model.
   *
   * @param bytes a model of `export-inference`, of any of its kinds.
   * @param artifacts whose preprocessing to use; null for a model that takes decoded images.
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

  /** Ends its threads, after what they are at. */
  async close(): Promise<void> {
    await this.#pool?.close();
    await this.#runtime.close();
  }

  /**
   * Classifies images, in order. One that cannot be read is an outcome like others.
   *
   * The logits of a model with probabilities are their logarithms: softmax of those gives them back.
   */
  async *classify<T extends InputImage>(
    items: AsyncIterable<T> | Iterable<T>,
  ): AsyncGenerator<Classification<T>> {
    const underWay: Promise<Classification<T>>[] = [];
    for await (const item of items) {
      const outcome = this.#one(item);
      // An error is thrown when its turn comes, or never, if the consumer leaves before.
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

  /** The very preprocessing of validation. */
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
    const { data, width, height } = await this.#decoder.decode(image, name);
    return { image: { dtype: 'uint8', shape: [height, width, 3], data } };
  }
}
