/** A training graph and its state, on the CPU or a GPU. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import type { TrainingGraph } from '../artifacts/manifest.js';
import { TrainingError } from '../common/errors.js';
import { pack, packingOf, unpack, type Packing } from '../artifacts/state-vector.js';
import type { OrtWorker } from './ort-worker.js';
import type { StateReader } from './ort-worker-messages.js';
import { graphForProvider, requireGraph, selectInputs } from './training-graph.js';
import {
  MOMENTUM_PREFIX,
  float32Tensor,
  int64Scalar,
  type FloatTensors,
  type State,
  type Tensor,
} from '../common/tensor.js';

/** K batches of N images, and the settings of the K training steps on them. */
export interface StackedBatches {
  /** Number of batches and steps, K. */
  readonly steps: number;
  /** Images per batch, N. */
  readonly batchSize: number;
  /** Normalised pixels [K, N, 3, S, S]. */
  readonly images: Float32Array<ArrayBuffer>;
  /** Weight of each class in an image's loss, [K, N, C]. All weights of a batch sum to 1. */
  readonly targets: Float32Array<ArrayBuffer>;
  /** Masks of Dropout and stochastic depth, [K, N, width]; only for networks that have them. */
  readonly masks?: Float32Array<ArrayBuffer>;
  /** Learning rates of the backbone, [K]. */
  readonly lr: Float32Array<ArrayBuffer>;
  /** Learning rates of the head (the last layer), [K]. */
  readonly headLr: Float32Array<ArrayBuffer>;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Nesterov momentum; default false. Needs a graph that {@link trainingGraph} chooses for it. */
  readonly nesterov?: boolean;
  /** Largest norm of all gradients together; default infinite. Needs such a graph, too. */
  readonly maxNorm?: number;
}

/** Results of K steps. */
export interface StepResults {
  /** Loss per step, [K]. */
  readonly losses: Float32Array;
  /** Logits [K, N, C], computed before each step's update. */
  readonly logits: Float32Array;
}

/** Parts that a session is made of. */
export interface TrainSessionParts {
  readonly runtime: OrtWorker;
  readonly artifacts: Artifacts;
  /** Number of the graph's session in the runtime. */
  readonly session: number;
  /** Number of classes. */
  readonly classes: number;
  /** Default: `train`. */
  readonly graph?: TrainingGraph;
  /** Reads the state back from GPU memory. Default: null, the state is in the CPU's memory. */
  readonly reader?: StateReader | null;
}

/** A training graph and its state. */
export class TrainSession {
  protected readonly runtime: OrtWorker;
  protected readonly artifacts: Artifacts;
  protected readonly session: number;
  protected readonly classes: number;
  readonly #graph: TrainingGraph;
  readonly #reader: StateReader | null;
  #steps = 0n;
  #counters = new Map<string, bigint>();
  /** Names of the tensors that the runtime holds. */
  #names: readonly string[] = [];
  /** Shapes of the tensors that are packed. */
  readonly #shapes = new Map<string, readonly number[]>();
  /** CUDA only: one session per batch size, because a new size makes cuDNN plan every convolution again. */
  readonly #sessions = new Map<number, number>();

  protected constructor({ graph = 'train', reader = null, ...parts }: TrainSessionParts) {
    this.runtime = parts.runtime;
    this.artifacts = parts.artifacts;
    this.session = parts.session;
    this.classes = parts.classes;
    this.#graph = graph;
    this.#reader = reader;
  }

  /** Begins to load the graph that {@link create} will be asked for. */
  static prepare(runtime: OrtWorker, artifacts: Artifacts, wanted: TrainingGraph): void {
    const graph = graphForProvider(runtime.provider, wanted);
    // A session that keeps its outputs in GPU memory is loaded with other options.
    if (graph !== 'trainWebgpu') runtime.prepare(artifacts, graph);
  }

  /**
   * Loads a training graph. The session has no state yet.
   *
   * @param wanted graph for the CPU; other providers get their variant of it.
   */
  static async create(
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    wanted: TrainingGraph = 'train',
  ): Promise<TrainSession> {
    const graph = graphForProvider(runtime.provider, wanted);
    const { manifest } = artifacts;
    const { outputs, outputPrefix } = requireGraph(manifest, graph);
    const states = outputs.map(({ name }) => name).filter((name) => name.startsWith(outputPrefix));
    const staysOnGpu = graph === 'trainWebgpu';
    const session = await runtime.loadGraph(artifacts, graph, staysOnGpu ? states : []);
    const reader = staysOnGpu
      ? {
          session: await runtime.loadGraph(artifacts, 'packedState'),
          outputPrefix: requireGraph(manifest, 'packedState').outputPrefix,
        }
      : null;
    return new TrainSession({ runtime, artifacts, session, classes, graph, reader });
  }

  get #packing(): Packing {
    const { manifest } = this.artifacts;
    const spec = requireGraph(manifest, this.#graph);
    return packingOf(manifest, 'packed' in spec ? spec.packed : null);
  }

  /**
   * Replaces the state.
   *
   * @throws TrainingError if it lacks a tensor that the manifest names.
   */
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

  /** Returns a copy of the state, in the manifest's order: parameters, buffers, counters, momentum. */
  async getState(): Promise<State> {
    return this.#read(true);
  }

  /** Returns a copy of the state without momentum, which is half of it. */
  async getWeights(): Promise<State> {
    return this.#read(false);
  }

  async #read(withMomentum: boolean): Promise<State> {
    const { manifest } = this.artifacts;
    const packing = this.#packing;
    const isMomentum = (name: string): boolean =>
      (packing[name]?.[0] ?? name).startsWith(MOMENTUM_PREFIX);
    const omit = withMomentum ? [] : this.#names.filter(isMomentum);
    const packed = await this.runtime.getState(this.#reader, omit);
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

  /** Takes K steps. The chunk's arrays move to the runtime: they cannot be used afterwards. */
  async step(chunk: StackedBatches): Promise<StepResults> {
    const session = await this.#sessionFor(chunk.batchSize);
    const result =
      this.#graph === 'trainWebgpu'
        ? await this.#stepEach(session, chunk)
        : await this.#stepAll(session, chunk);
    // A frozen backbone is in evaluation mode, so `num_batches_tracked` does not change.
    if (this.#graph !== 'trainHead') this.countSteps(chunk.steps);
    return result;
  }

  /**
   * Returns the input `masks` of networks that have it, with shape [...lead, width].
   *
   * @throws TrainingError if such a network gets none.
   */
  protected maskInput(lead: readonly number[], masks: Float32Array | undefined): FloatTensors {
    const { masks: spec, arch } = this.artifacts.manifest;
    if (spec === null) return {};
    if (masks !== undefined) return { masks: float32Tensor([...lead, spec.width], masks) };
    throw new TrainingError(`expected masks for the training graph of ${arch}, got none`);
  }

  /** Adds steps to the counters of the state. */
  protected countSteps(steps: number): void {
    this.#steps += BigInt(steps);
  }

  /** Returns the session for a batch size; on CUDA the smaller last batch of an epoch has its own. */
  async #sessionFor(batchSize: number): Promise<number> {
    if (this.#graph !== 'trainCuda') return this.session;
    let found = this.#sessions.get(batchSize);
    if (found === undefined) {
      const { runtime, artifacts } = this;
      const isFirst = this.#sessions.size === 0;
      found = isFirst ? this.session : await runtime.loadGraph(artifacts, this.#graph);
      this.#sessions.set(batchSize, found);
    }
    return found;
  }

  /** Takes all steps by one call. */
  async #stepAll(session: number, chunk: StackedBatches): Promise<StepResults> {
    const { steps, images, targets, masks, lr, headLr } = chunk;
    return this.#run(session, chunk, [steps], { images, targets, masks, lr, headLr });
  }

  /** Takes one step per call, for graphs of one step whose state stays in GPU memory. */
  async #stepEach(session: number, chunk: StackedBatches): Promise<StepResults> {
    const losses: number[] = [];
    const logits: number[] = [];
    for (let k = 0; k < chunk.steps; k++) {
      const part = (all: Float32Array): Float32Array =>
        all.slice((k * all.length) / chunk.steps, ((k + 1) * all.length) / chunk.steps);
      const result = await this.#run(session, chunk, [], {
        images: part(chunk.images),
        targets: part(chunk.targets),
        masks: chunk.masks && part(chunk.masks),
        lr: part(chunk.lr),
        headLr: part(chunk.headLr),
      });
      losses.push(...result.losses);
      logits.push(...result.logits);
    }
    return { losses: Float32Array.from(losses), logits: Float32Array.from(logits) };
  }

  /** @param lead first dimensions of the shapes: [K], or [] for a graph of one step. */
  async #run(
    session: number,
    { batchSize, momentum, weightDecay, nesterov, maxNorm }: StackedBatches,
    lead: readonly number[],
    varying: Readonly<Record<'images' | 'targets' | 'lr' | 'headLr', Float32Array>> & {
      readonly masks: Float32Array | undefined;
    },
  ): Promise<StepResults> {
    const { preprocessing } = this.artifacts.manifest;
    const { inputSize } = preprocessing;
    const scalar = (value: number): Tensor => float32Tensor([], Float32Array.of(value));
    const all: FloatTensors = {
      images: float32Tensor([...lead, batchSize, 3, inputSize, inputSize], varying.images),
      targets: float32Tensor([...lead, batchSize, this.classes], varying.targets),
      ...this.maskInput([...lead, batchSize], varying.masks),
      lr: float32Tensor(lead, varying.lr),
      head_lr: float32Tensor(lead, varying.headLr),
      momentum: scalar(momentum),
      weight_decay: scalar(weightDecay),
      nesterov: scalar(nesterov === true ? 1 : 0),
      max_norm: scalar(maxNorm ?? Infinity),
      batch_size: scalar(batchSize),
    };
    const graph = requireGraph(this.artifacts.manifest, this.#graph);
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
