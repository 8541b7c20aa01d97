/** Sessions of ONNX Runtime in a thread of their own, and the training session on top of them. */

import { Worker } from 'node:worker_threads';
import type { Artifacts, TrainingGraph } from './artifacts.js';
import { TrainingError } from './errors.js';
import type { Feeds, FloatTensors, Provider, Reply, Request } from './session-protocol.js';
import type { TrainSettings } from './settings.js';
import { MOMENTUM_PREFIX, float32Tensor, int64Scalar, type State, type Tensor } from './tensors.js';

type Value = FloatTensors | number | undefined;

/** A worker thread that holds ONNX Runtime sessions. Requests are carried out in order. */
export class Runtime {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #pending = new Map<
    number,
    { resolve: (value: Value) => void; reject: (error: Error) => void }
  >();
  readonly #prepared = new Map<string, Promise<number>>();
  #requests = 0;
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
    this.#worker = new Worker(new URL('./session-worker.js', import.meta.url), { execArgv: [] });
    this.#worker.on('message', (reply: Reply) => {
      const waiting = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
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

  /** Begins to load a model that {@link load} will be asked for: the runtime optimises it meanwhile. */
  prepare(file: string): void {
    const loading = this.#load(file);
    // Its failure is for `load`; if nobody asks, there is another failure to tell of.
    loading.catch(() => undefined);
    this.#prepared.set(file, loading);
  }

  /** Loads a model from a path or from bytes; returns its number. */
  async load(model: string | Uint8Array): Promise<number> {
    const prepared = typeof model === 'string' ? this.#prepared.get(model) : undefined;
    if (typeof model === 'string') this.#prepared.delete(model);
    return prepared ?? this.#load(model);
  }

  async #load(model: string | Uint8Array): Promise<number> {
    const { provider, threads } = this;
    return (await this.#request({ kind: 'load', model, provider, threads })) as number;
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

  async getState(): Promise<FloatTensors> {
    return (await this.#request({ kind: 'getState' })) as FloatTensors;
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

/** K batches of N images and how to step on them. */
export interface Chunk {
  /** K. */
  readonly steps: number;
  /** N. */
  readonly batchSize: number;
  /** [K, N, 3, S, S], normalised. */
  readonly images: Float32Array<ArrayBuffer>;
  /** [K, N, C]: rows that say how much each class counts, weighted so that a batch sums to 1. */
  readonly targets: Float32Array<ArrayBuffer>;
  /** [K], of the backbone and of the head. */
  readonly lr: Float32Array<ArrayBuffer>;
  readonly headLr: Float32Array<ArrayBuffer>;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Default false. Only of the graphs that {@link trainingGraph} chooses for it. */
  readonly nesterov?: boolean;
  /** Norm that all gradients together are scaled down to. Default: infinite. As `nesterov`. */
  readonly maxNorm?: number;
}

/** What K steps gave. */
export interface ChunkResult {
  /** [K]. */
  readonly losses: Float32Array;
  /** [K, N, C], computed before each step's update. */
  readonly logits: Float32Array;
}

/** The fastest graph that can do what the settings ask for. */
export function trainingGraph({
  freeze,
  nesterov,
  clipGradNorm,
}: Pick<TrainSettings, 'freeze' | 'nesterov' | 'clipGradNorm'>): TrainingGraph {
  if (freeze === 'backbone') return 'trainHead';
  return nesterov || clipGradNorm > 0 ? 'trainExtended' : 'train';
}

/** The training graph with its state. */
export class TrainSession {
  #steps = 0n;
  #counters = new Map<string, bigint>();

  protected constructor(
    protected readonly runtime: Runtime,
    protected readonly artifacts: Artifacts,
    protected readonly session: number,
    protected readonly classes: number,
    private readonly graph: TrainingGraph = 'train',
  ) {}

  static async create(
    runtime: Runtime,
    artifacts: Artifacts,
    classes: number,
    graph: TrainingGraph = 'train',
  ): Promise<TrainSession> {
    const session = await runtime.load(artifacts.graphPath(graph));
    return new TrainSession(runtime, artifacts, session, classes, graph);
  }

  /** Replaces the state. `state` must hold every tensor that the manifest names. */
  async setState(state: State): Promise<void> {
    const { manifest } = this.artifacts;
    const tensors: FloatTensors = {};
    for (const { name } of [...manifest.parameters, ...manifest.buffers]) {
      tensors[name] = required(state, name);
    }
    for (const { name } of manifest.parameters) {
      tensors[MOMENTUM_PREFIX + name] = required(state, MOMENTUM_PREFIX + name);
    }
    for (const name of manifest.counters) {
      this.#counters.set(name, BigInt(required(state, name).data[0] ?? 0));
    }
    this.#steps = 0n;
    await this.runtime.setState(tensors);
  }

  /** A copy of the state, in the manifest's order: parameters, buffers, counters, momentum. */
  async getState(): Promise<State> {
    const { manifest } = this.artifacts;
    const tensors = await this.runtime.getState();
    const state: State = new Map();
    const take = (name: string): void => {
      const tensor = tensors[name];
      if (tensor === undefined) throw new TrainingError(`the runtime holds no tensor ${name}`);
      state.set(name, tensor);
    };
    for (const { name } of [...manifest.parameters, ...manifest.buffers]) take(name);
    for (const name of manifest.counters) {
      state.set(name, int64Scalar((this.#counters.get(name) ?? 0n) + this.#steps));
    }
    for (const { name } of manifest.parameters) take(MOMENTUM_PREFIX + name);
    return state;
  }

  /** Takes K steps. The chunk's arrays are given away: they cannot be used afterwards. */
  async step(chunk: Chunk): Promise<ChunkResult> {
    const { steps, batchSize } = chunk;
    const { preprocessing, graphs } = this.artifacts.manifest;
    const { inputSize } = preprocessing;
    const scalar = (value: number): Tensor => float32Tensor([], Float32Array.of(value));
    const all: FloatTensors = {
      images: float32Tensor([steps, batchSize, 3, inputSize, inputSize], chunk.images),
      targets: float32Tensor([steps, batchSize, this.classes], chunk.targets),
      lr: float32Tensor([steps], chunk.lr),
      head_lr: float32Tensor([steps], chunk.headLr),
      momentum: scalar(chunk.momentum),
      weight_decay: scalar(chunk.weightDecay),
      nesterov: scalar(chunk.nesterov === true ? 1 : 0),
      max_norm: scalar(chunk.maxNorm ?? Infinity),
    };
    const { inputs, outputPrefix } = graphs[this.graph];
    const known = new Set(inputs.map(({ name }) => name));
    const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => known.has(name)));
    const { losses, logits } = await this.runtime.step(this.session, feeds, outputPrefix);
    if (losses === undefined || logits === undefined) {
      throw new TrainingError('expected the training graph to give losses and logits, got neither');
    }
    // What is in evaluation mode counts no batches.
    if (this.graph !== 'trainHead') this.countSteps(steps);
    return { losses: losses.data as Float32Array, logits: logits.data as Float32Array };
  }

  /** For the counters of the state. */
  protected countSteps(steps: number): void {
    this.#steps += BigInt(steps);
  }
}

function required(state: State, name: string): Tensor {
  const tensor = state.get(name);
  if (tensor === undefined) throw new TrainingError(`expected the tensor ${name}, found none`);
  return tensor;
}
