/** Worker threads that decode and preprocess images, shared by any number of loaders. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { ConfigError, DatasetError } from '../common/errors.js';
import type { ImageBackend, WorkerThread } from '../platform/platform.js';
import type {
  Inspection,
  LoadedTask,
  LoaderReply,
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
}

/** One task on its way. */
interface Job {
  readonly id: number;
  readonly request: LoaderRequest;
  readonly transfer: ArrayBuffer[];
  /** Whom it is for; {@link LoaderPool.cancel} takes back what has not begun. */
  readonly owner: object;
  readonly resolve: (reply: LoaderReply) => void;
  readonly reject: (error: Error) => void;
}

/** A thread, and the jobs it has been sent. */
interface Thread {
  readonly worker: WorkerThread;
  readonly jobs: Map<number, Job>;
}

/** With a second job at hand a thread need not wait for the main thread, which may be busy. */
const JOBS_PER_THREAD = 2;
/** Enough for the first batches; a thread takes longer to start than to load one. */
const STARTED_AT_ONCE = 2;

/**
 * Two threads start at once, the others when there is more to do; they live until {@link close}. A pool
 * that has work keeps the process alive; an idle one does not. Before `process.exit`, close the pool: a thread
 * that is inside the runtime then would abort the process.
 */
export class LoaderPool {
  readonly workers: number;
  readonly images: ImageBackend;
  readonly #setup: LoaderSetup;
  readonly #threads: Thread[] = [];
  readonly #exits: Promise<void>[] = [];
  #queue: Job[] = [];
  #jobs = 0;
  #failure: Error | null = null;
  #closing = false;

  constructor({ artifacts, images, workers = 4 }: LoaderPoolOptions) {
    if (!Number.isInteger(workers) || workers < 1) {
      throw new ConfigError(`expected a number of workers of at least 1, got ${workers}`);
    }
    this.workers = workers;
    this.images = images;
    const { preprocessing } = artifacts.manifest;
    this.#setup = {
      graphs: {
        train: artifacts.graphPath('preprocessTrain'),
        evaluate: artifacts.graphPath('preprocessEvaluate'),
      },
      inputSize: preprocessing.inputSize,
      crop: { scale: preprocessing.cropScale, ratio: preprocessing.cropRatio },
      flipProbability: preprocessing.flipProbability,
    };
    for (let i = 0; i < Math.min(workers, STARTED_AT_ONCE); i++) this.#start();
  }

  #start(): Thread {
    const thread: Thread = {
      worker: this.images.startThread(this.#setup),
      jobs: new Map<number, Job>(),
    };
    this.#threads.push(thread);
    this.#exits.push(this.#watch(thread));
    return thread;
  }

  /** Runs a task on one of the threads; resolves to its buffer, filled, and what is to be kept. */
  async run(task: LoaderTask, owner: object): Promise<LoadedTask> {
    const id = this.#jobs++;
    const reply = await this.#submit(id, { kind: 'load', id, task }, [task.buffer], owner);
    if (reply.kind !== 'done') throw new Error(`a loader thread answered with ${reply.kind}`);
    return reply;
  }

  /** Reads and decodes image files on one of the threads; resolves to a result for each. */
  async inspect(files: readonly string[], owner: object): Promise<readonly Inspection[]> {
    const id = this.#jobs++;
    const reply = await this.#submit(id, { kind: 'inspect', id, files }, [], owner);
    if (reply.kind !== 'inspected') throw new Error(`a loader thread answered with ${reply.kind}`);
    return reply.results;
  }

  #submit(
    id: number,
    request: LoaderRequest,
    transfer: ArrayBuffer[],
    owner: object,
  ): Promise<LoaderReply> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      this.#queue.push({ id, request, transfer, owner, resolve, reject });
      this.#dispatch();
    });
  }

  /** Drops the owner's tasks that no thread has begun; their promises are rejected. */
  cancel(owner: object): void {
    const dropped = this.#queue.filter((job) => job.owner === owner);
    this.#queue = this.#queue.filter((job) => job.owner !== owner);
    for (const job of dropped) job.reject(new Error('the loading of this batch was cancelled'));
  }

  /** Stops the threads after the image each is at, and waits until they have ended. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#fail(new Error('the loader is closed'));
    for (const { worker } of this.#threads) {
      // Waiting for its end must keep the process alive.
      worker.ref();
      post(worker, { kind: 'stop' });
    }
    await Promise.all(this.#exits);
  }

  #watch(thread: Thread): Promise<void> {
    const { worker, jobs } = thread;
    worker.unref();
    worker.on('message', (message) => {
      const reply = message as LoaderReply;
      const job = jobs.get(reply.id);
      jobs.delete(reply.id);
      if (jobs.size === 0 && !this.#closing) worker.unref();
      if (reply.kind !== 'failed') job?.resolve(reply);
      else if (reply.isDatasetError) job?.reject(new DatasetError(reply.message));
      else job?.reject(new Error(reply.message));
      this.#dispatch();
    });
    worker.on('error', (cause) => {
      this.#fail(new Error(`a loader thread failed: ${String(cause)}`, { cause }));
    });
    return new Promise((resolve) => {
      worker.on('exit', () => {
        this.#fail(new Error('a loader thread ended unexpectedly'));
        resolve();
      });
    });
  }

  /** Sends queued jobs, oldest first, each to the thread that has the fewest. */
  #dispatch(): void {
    for (;;) {
      const job = this.#queue[0];
      if (!job || this.#failure) return;
      let thread = this.#threads.reduce((a, b) => (b.jobs.size < a.jobs.size ? b : a));
      if (thread.jobs.size > 0 && this.#threads.length < this.workers) thread = this.#start();
      if (thread.jobs.size >= JOBS_PER_THREAD) return;
      this.#queue.shift();
      thread.jobs.set(job.id, job);
      thread.worker.ref();
      post(thread.worker, job.request, job.transfer);
    }
  }

  /** From now on nothing runs; the first reason stays. */
  #fail(error: Error): void {
    this.#failure ??= error;
    const jobs = [...this.#queue, ...this.#threads.flatMap(({ jobs }) => [...jobs.values()])];
    this.#queue = [];
    for (const job of jobs) job.reject(this.#failure);
  }
}

function post(worker: WorkerThread, request: LoaderRequest, transfer: ArrayBuffer[] = []): void {
  worker.postMessage(request, transfer);
}
