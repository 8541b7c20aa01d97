/** The work of a loader thread: encoded images come in, batches of normalised pixels go out. */

import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { Philox, STREAM } from '../common/philox.js';
import type { Answer, RequestHandler } from '../common/worker-client.js';
import type { OrtModule, RgbImage } from '../platform/platform.js';
import type { SharedImage } from './image-cache.js';
import { inspectImage, type ImageHost } from './inspect-image.js';
import { randomFlip, randomResizedCropBox } from './transforms.js';
import type {
  Inspection,
  LoadedTask,
  LoaderItem,
  LoaderMode,
  LoaderRequest,
  LoaderSetup,
  LoaderTask,
} from './worker-messages.js';

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
      results.push(await inspectImage(file, this.host));
    }
    return results;
  }

  /** Decodes and preprocesses the items into the task's buffer; returns the images to keep, by position. */
  async #fill(task: LoaderTask, signal: AbortSignal): Promise<Map<number, SharedImage>> {
    const session = await this.#session(task.mode);
    const { inputSize } = this.setup;
    const length = 3 * inputSize * inputSize;
    const decoded = new Map<number, SharedImage>();
    // The decoder may have a thread of its own: it decodes the next image while this one is preprocessed.
    let next = this.#decode(task.items[0]);
    for (const [position, item] of task.items.entries()) {
      const image = await next;
      if (signal.aborted || !image) break;
      next = this.#decode(task.items[position + 1]);
      const pixels = new Float32Array(task.buffer, position * length * 4, length);
      const output = new this.ort.Tensor('float32', pixels, [3, inputSize, inputSize]);
      await session.run(this.#feeds(this.#copyIfShared(image), item, task), { pixels: output });
      if (item.keep && !isShared(image)) decoded.set(position, share(image));
    }
    return decoded;
  }

  #decode(item: LoaderItem | undefined): Promise<RgbImage | SharedImage | null> {
    if (!item) return Promise.resolve(null);
    if (isShared(item.image)) return Promise.resolve(item.image);
    const decoded = this.host.decoder.decode(item.image, item.name, this.setup.exif);
    // Whoever awaits it gets the error; if an earlier image fails, nobody awaits it.
    decoded.catch(() => undefined);
    return decoded;
  }

  /** Copies shared memory, which ONNX Runtime does not take. The copy lasts until the next call. */
  #copyIfShared(image: RgbImage | SharedImage): RgbImage {
    if (!isShared(image)) return image;
    const { pixels, width, height } = image;
    const bytes = pixels.byteLength;
    if (this.#scratch.length < bytes) this.#scratch = new Uint8Array(bytes);
    const data = this.#scratch.subarray(0, bytes);
    data.set(new Uint8Array(pixels));
    return { data, width, height };
  }

  #feeds(image: RgbImage, item: LoaderItem, task: LoaderTask): Record<string, Tensor> {
    const { Tensor } = this.ort;
    const { data, width, height } = image;
    const tensor = new Tensor('uint8', data, [height, width, 3]);
    if (task.mode === 'evaluate') return { image: tensor };
    const random = new Philox(task.seed, STREAM.crop, task.epoch, item.index);
    const box = randomResizedCropBox(width, height, this.setup.crop, random);
    const flip = randomFlip(this.setup.flipProbability, random);
    const corners = [box.top, box.left, box.height, box.width];
    return {
      image: tensor,
      box: new Tensor('int64', BigInt64Array.from(corners, BigInt), [4]),
      flip: new Tensor('bool', Uint8Array.of(Number(flip)), []),
    };
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

function share({ data, width, height }: RgbImage): SharedImage {
  const pixels = new SharedArrayBuffer(data.byteLength);
  new Uint8Array(pixels).set(data);
  return { pixels, width, height };
}
