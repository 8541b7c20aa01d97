/** ONNX Runtime sessions in a worker thread. */

import type { Artifacts, GraphName } from '../artifacts/open-artifacts.js';
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

  /** Begins to load a graph that {@link loadGraph} will be asked for, so that the runtime optimises it meanwhile. */
  prepare(artifacts: Artifacts, graph: GraphName): void {
    const loading = this.loadGraph(artifacts, graph);
    // `loadGraph` reports this failure. If it is never called, an earlier error ended the run.
    loading.catch(() => undefined);
    this.#prepared.set(artifacts.graphPath(graph), loading);
  }

  /**
   * Loads a graph of the artifacts; returns its session's number.
   *
   * @param gpuOutputs outputs that stay in GPU memory, to be the state (WebGPU only).
   */
  async loadGraph(
    artifacts: Artifacts,
    graph: GraphName,
    gpuOutputs: readonly string[] = [],
  ): Promise<number> {
    const file = artifacts.graphPath(graph);
    const prepared = gpuOutputs.length === 0 ? this.#prepared.get(file) : undefined;
    if (prepared === undefined) return this.loadGiven(await artifacts.readGraph(graph), gpuOutputs);
    this.#prepared.delete(file);
    return prepared;
  }

  /** Loads a model from a copy of its bytes; returns its session's number. */
  async load(model: Uint8Array): Promise<number> {
    return this.#load(model, [], []);
  }

  /** Loads a model from bytes, which move to the thread and cannot be used afterwards. */
  async loadGiven(
    model: Uint8Array<ArrayBuffer>,
    gpuOutputs: readonly string[] = [],
  ): Promise<number> {
    return this.#load(model, gpuOutputs, [model.buffer]);
  }

  async #load(
    model: Uint8Array,
    gpuOutputs: readonly string[],
    transfer: ArrayBuffer[],
  ): Promise<number> {
    const { provider, threads } = this;
    const request: OrtRequest = { kind: 'load', model, provider, threads, gpuOutputs };
    return (await this.#client.request(request, transfer)) as number;
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
