/** The work of a loader thread: encoded images come in, batches of normalised pixels go out. */

import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { Philox, STREAM } from '../../common/philox.js';
import type { Answer, RequestHandler } from '../../common/worker-client.js';
import type { OrtModule, RgbImage } from '../../platform/platform.js';
import { unusableImage } from '../decode.js';
import { fitEvaluation, fitTraining } from './graph-input.js';
import type { SharedImage } from './image-cache.js';
import { inspectImage, type ImageHost } from '../inspect-image.js';
import { isSmall, KEPT_BYTES } from '../limits.js';
import { randomFlip, randomResizedCropBox } from '../transforms.js';
import type {
  Inspection,
  LoadedTask,
  LoaderItem,
  LoaderMode,
  LoaderRequest,
  LoaderSetup,
  LoaderTask,
} from './worker-messages.js';

const NOTHING = Promise.resolve(null);

/** Parts of one image's preprocessing. */
interface Preprocess {
  readonly item: LoaderItem;
  readonly task: LoaderTask;
  readonly session: InferenceSession;
  readonly output: Tensor;
}

/** Carries out the requests of a `LoaderPool`. */
export class ImageServer implements RequestHandler<LoaderRequest> {
  readonly #sessions = new Map<LoaderMode, Promise<InferenceSession>>();
  /** Memory for the pixels of a cached image. */
  #scratch = new Uint8Array();

  /** @param ort ONNX Runtime, which crops, resizes and normalises. */
  constructor(
    private readonly setup: LoaderSetup,
    private readonly host: ImageHost,
    private readonly ort: OrtModule,
  ) {}

  async handle(request: LoaderRequest, signal: AbortSignal): Promise<Answer> {
    if (signal.aborted) throw new Error('the loader is closed');
    if (request.kind === 'inspect') return { value: await this.#inspect(request.files, signal) };
    const { task } = request;
    const decoded = await this.#fill(task, signal);
    const value: LoadedTask = { buffer: task.buffer, decoded };
    return { value, transfer: [task.buffer] };
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    for (const session of await Promise.allSettled(this.#sessions.values())) {
      if (session.status === 'fulfilled') await session.value.release();
    }
  }

  async #inspect(files: readonly string[], signal: AbortSignal): Promise<Inspection[]> {
    const results: Inspection[] = [];
    for (const file of files) {
      if (signal.aborted) break;
      results.push(await inspectImage(file, this.host, this.setup.exif));
    }
    return results;
  }

  /** Decodes and preprocesses the items into the task's buffer; returns the images to keep, by position. */
  async #fill(task: LoaderTask, signal: AbortSignal): Promise<Map<number, SharedImage>> {
    const session = await this.#session(task.mode);
    const { inputSize } = this.setup;
    const length = 3 * inputSize * inputSize;
    const decoded = new Map<number, SharedImage>();
    // The decoder may have a thread of its own: it decodes the next image while a small one is preprocessed.
    let next = this.#decode(task.items[0]);
    const current: { image: RgbImage | SharedImage | null } = { image: null };
    for (const [position, item] of task.items.entries()) {
      current.image = await next;
      if (signal.aborted || !current.image) break;
      const following = task.items[position + 1];
      const isLarge = !isSmall(current.image);
      next = isLarge ? NOTHING : this.#decode(following);
      const pixels = new Float32Array(task.buffer, position * length * 4, length);
      const output = new this.ort.Tensor('float32', pixels, [3, inputSize, inputSize]);
      await this.#preprocess(current.image, { item, task, session, output });
      if (item.keep && canKeep(current.image)) decoded.set(position, share(current.image));
      // Let go of a large image before the next one is decoded.
      current.image = null;
      if (isLarge) next = this.#decode(following);
    }
    return decoded;
  }

  /** Crops, resizes and normalises an image into the output. */
  async #preprocess(
    image: RgbImage | SharedImage,
    { item, task, session, output }: Preprocess,
  ): Promise<void> {
    try {
      await session.run(this.#feeds(image, item, task), { pixels: output });
    } catch (cause) {
      throw unusableImage(item.name, image, cause);
    }
  }

  #decode(item: LoaderItem | undefined): Promise<RgbImage | SharedImage | null> {
    if (!item) return NOTHING;
    if (isShared(item.image)) return Promise.resolve(item.image);
    const decoded = this.host.decoder.decode(item.image, item.name, this.setup.exif);
    // Whoever awaits it gets the error; if an earlier image fails, nobody awaits it.
    decoded.catch(() => undefined);
    return decoded;
  }

  #feeds(
    image: RgbImage | SharedImage,
    item: LoaderItem,
    task: LoaderTask,
  ): Record<string, Tensor> {
    const whole = isShared(image) ? { ...image, data: new Uint8Array(image.pixels) } : image;
    if (task.mode === 'evaluate') {
      return { image: this.#tensor(fitEvaluation(whole, this.setup)) };
    }
    const { width, height } = image;
    const { Tensor } = this.ort;
    const random = new Philox(task.seed, STREAM.crop, task.epoch, item.index);
    const drawn = randomResizedCropBox(width, height, this.setup.crop, random);
    const flip = randomFlip(this.setup.flipProbability, random);
    const { image: fitted, box } = fitTraining({ image: whole, box: drawn }, this.setup);
    const corners = [box.top, box.left, box.height, box.width];
    return {
      image: this.#tensor(fitted),
      box: new Tensor('int64', BigInt64Array.from(corners, BigInt), [4]),
      flip: new Tensor('bool', Uint8Array.of(Number(flip)), []),
    };
  }

  #tensor({ data, width, height }: RgbImage): Tensor {
    const own = data.buffer instanceof SharedArrayBuffer ? this.#copy(data) : data;
    return new this.ort.Tensor('uint8', own, [height, width, 3]);
  }

  /** Copies shared memory, which ONNX Runtime does not take. The copy lasts until the next call. */
  #copy(shared: Uint8Array): Uint8Array {
    const bytes = shared.byteLength;
    if (this.#scratch.length < bytes) this.#scratch = new Uint8Array(bytes);
    const data = this.#scratch.subarray(0, bytes);
    data.set(shared);
    return data;
  }

  /** Returns the session of a mode's preprocessing graph, made when it is first needed. */
  #session(mode: LoaderMode): Promise<InferenceSession> {
    let session = this.#sessions.get(mode);
    if (!session) {
      session = this.ort.InferenceSession.create(this.setup.graphs[mode], {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        // Every image has another size: an arena would keep the largest buffer of each, and is not faster.
        enableCpuMemArena: false,
        enableMemPattern: false,
      });
      this.#sessions.set(mode, session);
    }
    return session;
  }
}

function isShared(image: LoaderItem['image'] | RgbImage): image is SharedImage {
  return typeof image === 'object' && 'pixels' in image;
}

/** Whether there is memory for a decoded image and its copy. An image from the cache is one already. */
function canKeep(image: RgbImage | SharedImage): image is RgbImage {
  return !isShared(image) && image.data.byteLength <= KEPT_BYTES;
}

function share({ data, width, height }: RgbImage): SharedImage {
  const pixels = new SharedArrayBuffer(data.byteLength);
  new Uint8Array(pixels).set(data);
  return { pixels, width, height };
}
