/** The training graph with its state, on whatever device the runtime is. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { TrainingGraph } from '../artifacts/manifest.js';
import { TrainingError } from '../common/errors.js';
import { pack, packingOf, unpack, type Packing } from '../artifacts/state-vector.js';
import type { OrtWorker } from './ort-worker.js';
import type { StateReader } from './ort-worker-messages.js';
import { graphForProvider, selectInputs } from './training-graph.js';
import {
  MOMENTUM_PREFIX,
  float32Tensor,
  int64Scalar,
  type FloatTensors,
  type State,
  type Tensor,
} from '../common/tensor.js';

/** K batches of N images and how to step on them. */
export interface StackedBatches {
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
export interface StepResults {
  /** [K]. */
  readonly losses: Float32Array;
  /** [K, N, C], computed before each step's update. */
  readonly logits: Float32Array;
}

/** The training graph with its state. */
export class TrainSession {
  #steps = 0n;
  #counters = new Map<string, bigint>();
  /** Of the tensors that the runtime holds. */
  #names: readonly string[] = [];
  /** Shapes of the tensors that are packed. */
  readonly #shapes = new Map<string, readonly number[]>();
  /** By batch size, where another size costs the device its plans. */
  readonly #sessions = new Map<number, number>();

  protected constructor(
    protected readonly runtime: OrtWorker,
    protected readonly artifacts: Artifacts,
    protected readonly session: number,
    protected readonly classes: number,
    private readonly graph: TrainingGraph = 'train',
    /** Reads the state back from the GPU's memory; null where it is not kept there. */
    private readonly reader: StateReader | null = null,
  ) {}

  /** Begins to load the graph that {@link create} will be asked for. */
  static prepare(runtime: OrtWorker, artifacts: Artifacts, wanted: TrainingGraph): void {
    const graph = graphForProvider(runtime.provider, wanted);
    // With its outputs in the GPU's memory it is another session.
    if (graph !== 'trainWebgpu') runtime.prepare(artifacts.graphPath(graph));
  }

  static async create(
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    wanted: TrainingGraph = 'train',
  ): Promise<TrainSession> {
    const graph = graphForProvider(runtime.provider, wanted);
    const { graphs } = artifacts.manifest;
    const { outputs, outputPrefix } = graphs[graph];
    const states = outputs.map(({ name }) => name).filter((name) => name.startsWith(outputPrefix));
    const staysOnGpu = graph === 'trainWebgpu';
    const session = await runtime.load(artifacts.graphPath(graph), staysOnGpu ? states : []);
    const reader = staysOnGpu
      ? {
          session: await runtime.load(artifacts.graphPath('packedState')),
          outputPrefix: graphs.packedState.outputPrefix,
        }
      : null;
    return new TrainSession(runtime, artifacts, session, classes, graph, reader);
  }

  get #packing(): Packing {
    const { manifest } = this.artifacts;
    const spec = manifest.graphs[this.graph];
    return packingOf(manifest, 'packed' in spec ? spec.packed : null);
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
    for (const [name, { shape }] of Object.entries(tensors)) this.#shapes.set(name, shape);
    this.#steps = 0n;
    const packed = pack(tensors, this.#packing);
    this.#names = Object.keys(packed);
    await this.runtime.setState(packed);
  }

  /** A copy of the state, in the manifest's order: parameters, buffers, counters, momentum. */
  async getState(): Promise<State> {
    return this.#read(true);
  }

  /** The same without momentum: half as much. */
  async getWeights(): Promise<State> {
    return this.#read(false);
  }

  async #read(withMomentum: boolean): Promise<State> {
    const { manifest } = this.artifacts;
    const packing = this.#packing;
    const isMomentum = (name: string): boolean =>
      (packing[name]?.[0] ?? name).startsWith(MOMENTUM_PREFIX);
    const left = withMomentum ? [] : this.#names.filter(isMomentum);
    const packed = await this.runtime.getState(this.reader, left);
    const tensors = unpack(packed, packing, (name) => this.#shapes.get(name) ?? []);
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
    if (withMomentum) for (const { name } of manifest.parameters) take(MOMENTUM_PREFIX + name);
    return state;
  }

  /** Takes K steps. The chunk's arrays are given away: they cannot be used afterwards. */
  async step(chunk: StackedBatches): Promise<StepResults> {
    const session = await this.#sessionFor(chunk.batchSize);
    const result =
      this.graph === 'trainWebgpu'
        ? await this.#stepEach(session, chunk)
        : await this.#stepAll(session, chunk);
    // What is in evaluation mode counts no batches.
    if (this.graph !== 'trainHead') this.countSteps(chunk.steps);
    return result;
  }

  /** For the counters of the state. */
  protected countSteps(steps: number): void {
    this.#steps += BigInt(steps);
  }

  /**
   * On CUDA a batch of another size, as an epoch's last, would have every convolution's plan made anew, and again
   * for the next: it gets a session of its own.
   */
  async #sessionFor(batchSize: number): Promise<number> {
    if (this.graph !== 'trainCuda') return this.session;
    let found = this.#sessions.get(batchSize);
    if (found === undefined) {
      const path = this.artifacts.graphPath(this.graph);
      found = this.#sessions.size === 0 ? this.session : await this.runtime.load(path);
      this.#sessions.set(batchSize, found);
    }
    return found;
  }

  async #stepAll(session: number, chunk: StackedBatches): Promise<StepResults> {
    const { steps, images, targets, lr, headLr } = chunk;
    return this.#run(session, chunk, [steps], { images, targets, lr, headLr });
  }

  /** One call a step: the state stays in the GPU's memory. */
  async #stepEach(session: number, chunk: StackedBatches): Promise<StepResults> {
    const losses: number[] = [];
    const logits: number[] = [];
    for (let k = 0; k < chunk.steps; k++) {
      const part = (all: Float32Array): Float32Array =>
        all.slice((k * all.length) / chunk.steps, ((k + 1) * all.length) / chunk.steps);
      const result = await this.#run(session, chunk, [], {
        images: part(chunk.images),
        targets: part(chunk.targets),
        lr: part(chunk.lr),
        headLr: part(chunk.headLr),
      });
      losses.push(...result.losses);
      logits.push(...result.logits);
    }
    return { losses: Float32Array.from(losses), logits: Float32Array.from(logits) };
  }

  /** @param lead the shape's beginning: [K], or [] for a graph of one step. */
  async #run(
    session: number,
    { batchSize, momentum, weightDecay, nesterov, maxNorm }: StackedBatches,
    lead: readonly number[],
    varying: Readonly<Record<'images' | 'targets' | 'lr' | 'headLr', Float32Array>>,
  ): Promise<StepResults> {
    const { preprocessing, graphs } = this.artifacts.manifest;
    const { inputSize } = preprocessing;
    const scalar = (value: number): Tensor => float32Tensor([], Float32Array.of(value));
    const all: FloatTensors = {
      images: float32Tensor([...lead, batchSize, 3, inputSize, inputSize], varying.images),
      targets: float32Tensor([...lead, batchSize, this.classes], varying.targets),
      lr: float32Tensor(lead, varying.lr),
      head_lr: float32Tensor(lead, varying.headLr),
      momentum: scalar(momentum),
      weight_decay: scalar(weightDecay),
      nesterov: scalar(nesterov === true ? 1 : 0),
      max_norm: scalar(maxNorm ?? Infinity),
      batch_size: scalar(batchSize),
    };
    const graph = graphs[this.graph];
    const feeds = selectInputs(graph, all);
    const { losses, logits } = await this.runtime.step(session, feeds, graph.outputPrefix);
    if (losses === undefined || logits === undefined) {
      throw new TrainingError('expected the training graph to give losses and logits, got neither');
    }
    return { losses: losses.data as Float32Array, logits: logits.data as Float32Array };
  }
}

function required(state: State, name: string): Tensor {
  const tensor = state.get(name);
  if (tensor === undefined) throw new TrainingError(`expected the tensor ${name}, found none`);
  return tensor;
}
