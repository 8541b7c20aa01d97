/** ONNX Runtime sessions in a worker thread. */

import type { FloatTensors } from '../common/tensor.js';
import { WorkerClient } from '../common/worker-client.js';
import type { OrtBackend } from '../platform/platform.js';
import type {
  Feeds,
  OrtRequest,
  Provider,
  StateReader,
  StepAnswer,
} from './ort-worker-messages.js';

/** A worker thread that holds ONNX Runtime sessions. It carries requests out in order. */
export class OrtWorker {
  readonly #client: WorkerClient<OrtRequest>;
  readonly #prepared = new Map<string, Promise<number>>();
  #stepSeconds = 0;

  /**
   * @param ort ONNX Runtime of the host.
   * @param provider execution provider of every session.
   * @param threads CPU threads of every session; 0 leaves the number to the runtime.
   */
  constructor(
    ort: OrtBackend,
    readonly provider: Provider = 'cpu',
    readonly threads = 0,
  ) {
    this.#client = new WorkerClient(ort.startThread(), 'the runtime thread');
  }

  /** Seconds that steps have spent inside ONNX Runtime so far. */
  get stepSeconds(): number {
    return this.#stepSeconds;
  }

  /** Begins to load a model that {@link load} will be asked for, so that the runtime optimises it meanwhile. */
  prepare(file: string): void {
    const loading = this.#load(file, []);
    // `load` reports this failure. If `load` is never called, an earlier error ended the run.
    loading.catch(() => undefined);
    this.#prepared.set(file, loading);
  }

  /**
   * Loads a model from a path or from bytes; returns its session's number.
   *
   * @param gpuOutputs outputs that stay in GPU memory, to be the state (WebGPU only).
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
    const request: OrtRequest = { kind: 'load', model, provider, threads, gpuOutputs };
    return (await this.#client.request(request, transfer)) as number;
  }

  /** Loads a model from bytes, which move to the thread and cannot be used afterwards. */
  async loadGiven(model: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#load(model, [], [model.buffer]);
  }

  /**
   * Runs a loaded model once.
   *
   * @param fetches names of the outputs to return; default: all.
   */
  async run(session: number, feeds: Feeds, fetches?: string[]): Promise<FloatTensors> {
    const request: OrtRequest = { kind: 'run', session, feeds, fetches: fetches ?? null };
    return (await this.#client.request(request)) as FloatTensors;
  }

  /** Frees a session. */
  async release(session: number): Promise<void> {
    await this.#client.request({ kind: 'release', session });
  }

  /** Replaces the state that the thread keeps between steps. */
  async setState(tensors: FloatTensors): Promise<void> {
    await this.#client.request({ kind: 'setState', tensors });
  }

  /**
   * Returns a copy of the state.
   *
   * @param reader the model that reads a state back from GPU memory; null for a state in the CPU's memory.
   * @param omit names of tensors to leave out.
   */
  async getState(
    reader: StateReader | null = null,
    omit: readonly string[] = [],
  ): Promise<FloatTensors> {
    return (await this.#client.request({ kind: 'getState', reader, omit })) as FloatTensors;
  }

  /**
   * Runs a training graph on the state that the thread keeps. The buffers of `feeds` move to the thread.
   *
   * @param outputPrefix outputs called `<outputPrefix><name>` become the new state.
   * @returns the other outputs.
   */
  async step(session: number, feeds: FloatTensors, outputPrefix: string): Promise<FloatTensors> {
    const buffers = Object.values(feeds).map((tensor) => tensor.data.buffer as ArrayBuffer);
    const request: OrtRequest = { kind: 'step', session, feeds, outputPrefix };
    const answer = await this.#client.request(request, [...new Set(buffers)]);
    const { outputs, seconds } = answer as StepAnswer;
    this.#stepSeconds += seconds;
    return outputs;
  }

  /** Ends the thread after the requests before. */
  async close(): Promise<void> {
    await this.#client.close();
  }
}
