/** A loader's worker thread: encoded images in, a batch of normalised pixels out. */

import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';
import { decodeImage, type RgbImage } from './decode.js';
import { DatasetError } from '../common/errors.js';
import { inspectImage } from './inspect-image.js';
import type {
  Inspection,
  LoaderItem,
  LoaderMode,
  LoaderReply,
  LoaderRequest,
  LoaderSetup,
  LoaderTask,
} from './worker-messages.js';
import type { SharedImage } from './image-cache.js';
import { Philox, STREAM } from '../common/philox.js';
import { randomFlip, randomResizedCropBox } from './transforms.js';

if (!parentPort) throw new Error('loader-worker.ts runs as a worker thread only');
const port = parentPort;
const setup = workerData as LoaderSetup;
const sessions = new Map<LoaderMode, Promise<InferenceSession>>();
let stopping = false;
/** Room for the pixels of a cached image. */
let scratch = new Uint8Array();
// Requests are carried out one after the other, in the order they came.
let last: Promise<void> = Promise.resolve();

// The parallelism is in the number of workers; and no image is read twice soon.
sharp.concurrency(1);
sharp.cache(false);

port.on('message', (request: LoaderRequest) => {
  if (request.kind === 'stop') {
    stopping = true;
    last = last.then(release);
  } else {
    last = last.then(() => handle(request));
  }
});

async function handle(request: Exclude<LoaderRequest, { kind: 'stop' }>): Promise<void> {
  if (stopping) return;
  const { id } = request;
  try {
    if (request.kind === 'inspect') {
      send({ kind: 'inspected', id, results: await inspectAll(request.files) });
      return;
    }
    const { task } = request;
    const decoded = await fill(task);
    send({ kind: 'done', id, buffer: task.buffer, decoded }, [task.buffer]);
  } catch (error) {
    const isDatasetError = error instanceof DatasetError;
    const message = error instanceof Error ? error.message : String(error);
    send({ kind: 'failed', id, message, isDatasetError });
  }
}

async function inspectAll(files: readonly string[]): Promise<Inspection[]> {
  const results: Inspection[] = [];
  for (const file of files) {
    if (stopping) break;
    results.push(await inspectImage(file));
  }
  return results;
}

function send(reply: LoaderReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(reply, transfer);
}

/** Decodes and preprocesses the items into the task's buffer; returns those to be kept, by position. */
async function fill(task: LoaderTask): Promise<Map<number, SharedImage>> {
  const session = await openSession(task.mode);
  const { inputSize } = setup;
  const length = 3 * inputSize * inputSize;
  const decoded = new Map<number, SharedImage>();
  // While one image is preprocessed here, sharp's thread decodes the next.
  let next = decodeAhead(task.items[0]);
  for (const [position, item] of task.items.entries()) {
    const image = await next;
    if (stopping || !image) break;
    next = decodeAhead(task.items[position + 1]);
    const pixels = new Float32Array(task.buffer, position * length * 4, length);
    const output = new Tensor('float32', pixels, [3, inputSize, inputSize]);
    await session.run(feeds(plain(image), item, task), { pixels: output });
    if (item.keep && !isShared(image)) decoded.set(position, share(image));
  }
  return decoded;
}

function isShared(image: LoaderItem['image'] | RgbImage): image is SharedImage {
  return typeof image === 'object' && 'pixels' in image;
}

function share({ data, width, height }: RgbImage): SharedImage {
  const pixels = new SharedArrayBuffer(data.byteLength);
  new Uint8Array(pixels).set(data);
  return { pixels, width, height };
}

/** The binding takes no shared memory. What this returns lasts until the next call. */
function plain(image: RgbImage | SharedImage): RgbImage {
  if (!isShared(image)) return image;
  const { pixels, width, height } = image;
  if (scratch.length < pixels.byteLength) scratch = new Uint8Array(pixels.byteLength);
  const data = scratch.subarray(0, pixels.byteLength);
  data.set(new Uint8Array(pixels));
  return { data, width, height };
}

function decodeAhead(item: LoaderItem | undefined): Promise<RgbImage | SharedImage | null> {
  if (!item) return Promise.resolve(null);
  if (isShared(item.image)) return Promise.resolve(item.image);
  const decoded = decodeImage(item.image, item.name);
  // The error is for whoever awaits it; if an earlier image fails, nobody does.
  decoded.catch(() => undefined);
  return decoded;
}

function feeds(image: RgbImage, item: LoaderItem, task: LoaderTask): Record<string, Tensor> {
  const { data, width, height } = image;
  const tensor = new Tensor('uint8', data, [height, width, 3]);
  if (task.mode === 'evaluate') return { image: tensor };
  const random = new Philox(task.seed, STREAM.crop, task.epoch, item.index);
  const box = randomResizedCropBox(width, height, setup.crop, random);
  const flip = randomFlip(setup.flipProbability, random);
  const corners = [box.top, box.left, box.height, box.width];
  return {
    image: tensor,
    box: new Tensor('int64', BigInt64Array.from(corners, BigInt), [4]),
    flip: new Tensor('bool', Uint8Array.of(Number(flip)), []),
  };
}

/** A graph's session, made when it is first needed. */
function openSession(mode: LoaderMode): Promise<InferenceSession> {
  let session = sessions.get(mode);
  if (!session) {
    session = InferenceSession.create(setup.graphs[mode], {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      // Every image has another size: an arena would keep the largest of each, and is no quicker.
      enableCpuMemArena: false,
      enableMemPattern: false,
    });
    sessions.set(mode, session);
  }
  return session;
}

/** Lets the thread end by itself. It is never terminated: inside the runtime that aborts the process. */
async function release(): Promise<void> {
  for (const session of await Promise.allSettled(sessions.values())) {
    if (session.status === 'fulfilled') await session.value.release();
  }
  port.close();
}
