/** Sessions of ONNX Runtime in a thread of their own. */

import { Worker } from 'node:worker_threads';
import type { Feeds, FloatTensors, Provider, Reply, Request } from './ort-worker-messages.js';

type Value = FloatTensors | number | undefined;

/** A worker thread that holds ONNX Runtime sessions. Requests are carried out in order. */
export class OrtWorker {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<
    number,
    { resolve: (value: Value) => void; reject: (error: Error) => void }
  >();
  readonly #prepared = new Map<string, Promise<number>>();
  #requests = 0;
  #stepSeconds = 0;
  /** Why no more requests are taken. */
  #ended: Error | null = null;

  /**
   * @param provider execution provider of every session.
   * @param threads CPU threads of every session; 0 leaves the number to the runtime.
   */
  constructor(
    readonly provider: Provider = 'cpu',
    readonly threads = 0,
  ) {
    // The process's own flags (--input-type, a test runner's loader) are not for this file.
    this.#worker = new Worker(new URL('./ort-worker-thread.js', import.meta.url), { execArgv: [] });
    this.#worker.on('message', (reply: Reply) => {
      const waiting = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      this.#stepSeconds += reply.seconds ?? 0;
      if (reply.error === undefined) waiting?.resolve(reply.value);
      else waiting?.reject(new Error(reply.error));
    });
    this.#worker.on('error', (error) => {
      this.#rejectAll(error instanceof Error ? error : new Error(String(error)));
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#ended = new Error(`the runtime thread has ended (code ${code})`);
        this.#rejectAll(this.#ended);
        resolve();
      });
    });
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #request(request: Request, transfer: ArrayBuffer[] = []): Promise<Value> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#requests;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, request }, transfer);
    });
  }

  /** Seconds that steps have spent inside ONNX Runtime so far. */
  get stepSeconds(): number {
    return this.#stepSeconds;
  }

  /** Begins to load a model that {@link load} will be asked for: the runtime optimises it meanwhile. */
  prepare(file: string): void {
    const loading = this.#load(file, []);
    // Its failure is for `load`; if nobody asks, there is another failure to tell of.
    loading.catch(() => undefined);
    this.#prepared.set(file, loading);
  }

  /**
   * Loads a model from a path or from bytes; returns its number.
   *
   * @param gpuOutputs outputs that stay in the GPU's memory, to be the state (WebGPU only).
   */
  async load(model: string | Uint8Array, gpuOutputs: readonly string[] = []): Promise<number> {
    if (gpuOutputs.length > 0) return this.#load(model, gpuOutputs);
    const prepared = typeof model === 'string' ? this.#prepared.get(model) : undefined;
    if (typeof model === 'string') this.#prepared.delete(model);
    return prepared ?? this.#load(model, gpuOutputs);
  }

  async #load(
    model: string | Uint8Array,
    gpuOutputs: readonly string[],
    transfer: ArrayBuffer[] = [],
  ): Promise<number> {
    const { provider, threads } = this;
    const request: Request = { kind: 'load', model, provider, threads, gpuOutputs };
    return (await this.#request(request, transfer)) as number;
  }

  /** Loads a model from bytes, which are given away: they cannot be used afterwards. */
  async loadGiven(model: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#load(model, [], [model.buffer]);
  }

  /** Runs a loaded model once. */
  async run(session: number, feeds: Feeds, fetches?: string[]): Promise<FloatTensors> {
    const request: Request = { kind: 'run', session, feeds, fetches: fetches ?? null };
    return (await this.#request(request)) as FloatTensors;
  }

  async release(session: number): Promise<void> {
    await this.#request({ kind: 'release', session });
  }

  async setState(tensors: FloatTensors): Promise<void> {
    await this.#request({ kind: 'setState', tensors });
  }

  /**
   * @param reader the model that reads a state back from the GPU's memory.
   * @param left names of tensors to leave out.
   */
  async getState(
    reader: { session: number; outputPrefix: string } | null = null,
    left: readonly string[] = [],
  ): Promise<FloatTensors> {
    return (await this.#request({ kind: 'getState', reader, left })) as FloatTensors;
  }

  /** Runs a training graph on the state that the thread holds. Buffers of `feeds` are given away. */
  async step(session: number, feeds: FloatTensors, outputPrefix: string): Promise<FloatTensors> {
    const buffers = Object.values(feeds).map((tensor) => tensor.data.buffer as ArrayBuffer);
    const transfer = [...new Set(buffers)];
    const request: Request = { kind: 'step', session, feeds, outputPrefix };
    return (await this.#request(request, transfer)) as FloatTensors;
  }

  /**
   * Ends the thread after the requests before. Never `terminate()`: a thread that is stopped inside
   * ONNX Runtime takes the process down with it.
   */
  async close(): Promise<void> {
    await this.#request({ kind: 'close' }).catch(() => undefined);
    await this.#exited;
  }
}
