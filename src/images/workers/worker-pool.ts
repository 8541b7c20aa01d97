/** Worker threads that decode and preprocess images, shared by any number of loaders. */

import type { Artifacts } from '../../artifacts/open-artifacts.js';
import { ConfigError } from '../../common/errors.js';
import { WorkerClient } from '../../common/worker-client.js';
import type { ExifUse, ImageBackend, ImageDecoder, RgbImage } from '../../platform/platform.js';
import type {
  Inspection,
  LoadedTask,
  LoaderRequest,
  LoaderSetup,
  LoaderTask,
} from './worker-messages.js';

export interface LoaderPoolOptions {
  readonly artifacts: Artifacts;
  /** Decodes images, and starts the threads. */
  readonly images: ImageBackend;
  /** Number of worker threads, at least 1; default 4. */
  readonly workers?: number;
  /** Use of the EXIF orientation of every image; default `ignore`. */
  readonly exif?: ExifUse;
}

/** One request and its caller. */
interface Job {
  readonly request: LoaderRequest;
  readonly transfer: readonly ArrayBuffer[];
  /** {@link LoaderPool.cancel} drops the jobs of an owner that no thread has begun. */
  readonly owner: object;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

type Client = WorkerClient<LoaderRequest>;

/** With a second job at hand a thread does not wait for the main thread, which may be busy. */
const JOBS_PER_THREAD = 2;
/** Threads started with the pool. A thread takes longer to start than to load a batch, so the first batches need no more. */
const STARTED_AT_ONCE = 2;

/**
 * Two threads start at once, the others when there is more to do; they live until {@link close}. A pool
 * that has work keeps the process alive; an idle one does not. Before `process.exit`, close the pool: a thread
 * that is inside the runtime then would abort the process.
 */
export class LoaderPool implements ImageDecoder {
  readonly workers: number;
  /** Use of the EXIF orientation of every image. */
  readonly exif: ExifUse;
  readonly #images: ImageBackend;
  readonly #setup: LoaderSetup;
  readonly #threads: Client[] = [];
  readonly #running = new Set<Job>();
  #queue: Job[] = [];
  #failure: Error | null = null;

  constructor({ artifacts, images, workers = 4, exif = 'ignore' }: LoaderPoolOptions) {
    if (!Number.isInteger(workers) || workers < 1) {
      throw new ConfigError(`expected a number of workers of at least 1, got ${workers}`);
    }
    this.workers = workers;
    this.exif = exif;
    this.#images = images;
    const { preprocessing } = artifacts.manifest;
    this.#setup = {
      graphs: artifacts.preprocessingGraphs,
      inputSize: preprocessing.inputSize,
      resizeSize: preprocessing.resizeSize,
      interpolation: preprocessing.interpolation,
      crop: { scale: preprocessing.cropScale, ratio: preprocessing.cropRatio },
      flipProbability: preprocessing.flipProbability,
      exif,
    };
    for (let i = 0; i < Math.min(workers, STARTED_AT_ONCE); i++) this.#start();
  }

  #start(): Client {
    const thread = this.#images.startThread(this.#setup);
    const client: Client = new WorkerClient(thread, 'a loader thread', 'while-pending');
    void client.ended.then((reason) => {
      this.#fail(reason);
    });
    this.#threads.push(client);
    return client;
  }

  /** Decodes an image in this thread, to the pixels that the worker threads see. */
  decode(image: string | Uint8Array, name?: string): Promise<RgbImage> {
    return this.#images.decode(image, name, this.#setup.exif);
  }

  /** Runs a task on one of the threads; resolves to its filled buffer and the images to keep. */
  async run(task: LoaderTask, owner: object): Promise<LoadedTask> {
    const request: LoaderRequest = { kind: 'load', task };
    return (await this.#submit(request, [task.buffer], owner)) as LoadedTask;
  }

  /** Reads and decodes image files on one of the threads; resolves to one result per file. */
  async inspect(files: readonly string[], owner: object): Promise<readonly Inspection[]> {
    return (await this.#submit({ kind: 'inspect', files }, [], owner)) as readonly Inspection[];
  }

  #submit(
    request: LoaderRequest,
    transfer: readonly ArrayBuffer[],
    owner: object,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      this.#queue.push({ request, transfer, owner, resolve, reject });
      this.#dispatch();
    });
  }

  /** Drops the owner's tasks that no thread has begun; their promises are rejected. */
  cancel(owner: object): void {
    const dropped = this.#queue.filter((job) => job.owner === owner);
    this.#queue = this.#queue.filter((job) => job.owner !== owner);
    for (const job of dropped) job.reject(new Error('the loading of this batch was cancelled'));
  }

  /** Stops each thread after the image it is at, and waits until all have ended. */
  async close(): Promise<void> {
    this.#fail(new Error('the loader is closed'));
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  /** Sends queued jobs, oldest first, each to the thread that has the fewest. */
  #dispatch(): void {
    for (;;) {
      const job = this.#queue[0];
      if (!job || this.#failure) return;
      let thread = this.#threads.reduce((a, b) => (b.pending < a.pending ? b : a));
      if (thread.pending > 0 && this.#threads.length < this.workers) thread = this.#start();
      if (thread.pending >= JOBS_PER_THREAD) return;
      this.#queue.shift();
      void this.#send(job, thread);
    }
  }

  async #send(job: Job, thread: Client): Promise<void> {
    this.#running.add(job);
    const { request, transfer, resolve, reject } = job;
    await thread.request(request, transfer).then(resolve, reject);
    this.#running.delete(job);
    this.#dispatch();
  }

  /** Rejects all jobs, now and from now on; the first reason stays. */
  #fail(error: Error): void {
    this.#failure ??= error;
    const jobs = [...this.#queue, ...this.#running];
    this.#queue = [];
    for (const job of jobs) job.reject(this.#failure);
  }
}
