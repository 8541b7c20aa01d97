/** PyTorch's DistributedDataParallel: each rank computes gradients of its own batch, all apply the same update. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { TrainingError } from '../common/errors.js';
import { selectInputs, type GraphSettings } from '../session/training-graph.js';
import type { OrtWorker } from '../session/ort-worker.js';
import { TrainSession, type StackedBatches, type StepResults } from '../session/train-session.js';
import { stateLayout } from '../artifacts/state-layout.js';
import { splitVector } from '../artifacts/state-vector.js';
import { float32Tensor, type FloatTensors, type Tensor } from '../common/tensor.js';
import type { ProcessGroup } from './process-group.js';

/**
 * Scales all gradients down, in place, so that their common norm is at most `maxNorm`.
 *
 * Source: torch.nn.utils.clip_grad_norm_. Every rank has the same bits and so computes the same factor.
 */
export function clip(gradients: Float32Array, maxNorm: number): void {
  if (maxNorm === Infinity) return;
  let squares = 0;
  for (const value of gradients) squares += value * value;
  const factor = maxNorm / (Math.sqrt(squares) + 1e-6);
  if (factor >= 1) return;
  for (let i = 0; i < gradients.length; i++) gradients[i] = (gradients[i] ?? 0) * factor;
}

/** The two graphs of a step, and whether the backbone is frozen. */
interface Stages {
  readonly gradients: 'gradients' | 'gradientsHead';
  readonly update: 'update' | 'updateExtended' | 'updateHead';
  readonly frozen: boolean;
}

function stagesFor({ freeze, nesterov }: DdpOptions['settings']): Stages {
  if (freeze === 'backbone') {
    return { gradients: 'gradientsHead', update: 'updateHead', frozen: true };
  }
  return { gradients: 'gradients', update: nesterov ? 'updateExtended' : 'update', frozen: false };
}

export interface DdpOptions {
  readonly group: Pick<ProcessGroup, 'size' | 'allReduce'>;
  readonly runtime: OrtWorker;
  readonly artifacts: Artifacts;
  /** Number of classes. */
  readonly classes: number;
  /** Settings that decide which graphs take the steps. */
  readonly settings: Omit<GraphSettings, 'clipGradNorm'>;
}

/**
 * A training session whose steps several ranks take together: the gradients of this rank's batch, their mean over the
 * ranks by one all-reduce, and the update by that mean.
 */
export class DdpTrainSession extends TrainSession {
  #allReduceSeconds = 0;
  readonly #group: Pick<ProcessGroup, 'size' | 'allReduce'>;
  readonly #stages: Stages;
  /** Number of the update graph's session; `session` is that of the gradient graph. */
  readonly #update: number;
  /** The parameters that are trained, in the order of their gradients. */
  readonly #parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];

  private constructor(
    { group, runtime, artifacts, classes }: DdpOptions,
    stages: Stages,
    sessions: { readonly gradients: number; readonly update: number },
  ) {
    super({ runtime, artifacts, session: sessions.gradients, classes });
    this.#group = group;
    this.#stages = stages;
    this.#update = sessions.update;
    const layout = stateLayout(artifacts.manifest, classes);
    const roles = stages.frozen ? ['head'] : ['backbone', 'head'];
    this.#parameters = layout.filter(({ role }) => roles.includes(role));
  }

  /** Loads the two graphs. The session has no state yet. */
  static async open(options: DdpOptions): Promise<DdpTrainSession> {
    const { runtime, artifacts, settings } = options;
    const stages = stagesFor(settings);
    const gradients = await runtime.loadGraph(artifacts, stages.gradients);
    const update = await runtime.loadGraph(artifacts, stages.update);
    return new DdpTrainSession(options, stages, { gradients, update });
  }

  /** Returns the seconds spent in all-reduces since the last call, the wait for slower ranks included. */
  takeAllReduceSeconds(): number {
    const seconds = this.#allReduceSeconds;
    this.#allReduceSeconds = 0;
    return seconds;
  }

  /**
   * Takes one step together with every other rank: the chunk holds one batch.
   *
   * @returns loss and logits of this rank's batch.
   */
  override async step(chunk: StackedBatches): Promise<StepResults> {
    const { steps, batchSize, momentum, weightDecay } = chunk;
    if (steps !== 1) throw new RangeError(`expected one step per call, got ${steps}`);
    const { graphs, preprocessing } = this.artifacts.manifest;
    const { size } = this.#group;
    const side = preprocessing.inputSize;
    // The gradient is linear in the targets. With targets divided by the number of ranks, the sum of the ranks'
    // gradients is their mean.
    const targets = chunk.targets.map((value) => value / size);
    const spec = graphs[this.#stages.gradients];
    const batch = selectInputs(spec, {
      images: float32Tensor([batchSize, 3, side, side], chunk.images),
      targets: float32Tensor([batchSize, this.classes], targets),
      ...this.maskInput([batchSize], chunk.masks),
    });
    const found = await this.runtime.step(this.session, batch, spec.outputPrefix);
    const { loss, logits, gradients } = found;
    if (loss === undefined || logits === undefined || gradients === undefined) {
      throw new TrainingError(
        'expected loss, logits and gradients of the gradient graph, got less',
      );
    }
    const began = performance.now();
    const mean = await this.#group.allReduce(gradients.data as Float32Array);
    this.#allReduceSeconds += (performance.now() - began) / 1000;
    clip(mean, chunk.maxNorm ?? Infinity);
    const scalar = (value: number): Tensor => float32Tensor([], Float32Array.of(value));
    const all: FloatTensors = {
      lr: scalar(chunk.lr[0] ?? NaN),
      head_lr: scalar(chunk.headLr[0] ?? NaN),
      momentum: scalar(momentum),
      weight_decay: scalar(weightDecay),
      nesterov: scalar(chunk.nesterov === true ? 1 : 0),
      ...this.#named(mean),
    };
    const update = graphs[this.#stages.update];
    await this.runtime.step(this.#update, selectInputs(update, all), update.outputPrefix);
    // A frozen backbone is in evaluation mode, so `num_batches_tracked` does not change.
    if (!this.#stages.frozen) this.countSteps(1);
    const losses = Float32Array.of(Number(loss.data[0]) * size);
    return { losses, logits: logits.data as Float32Array };
  }

  /** Returns the reduced gradients under the names of the update graph's inputs. */
  #named(flat: Float32Array): FloatTensors {
    const { gradientPrefix } = this.artifacts.manifest.graphs[this.#stages.update];
    const named = this.#parameters.map(({ name, shape }) => ({
      name: gradientPrefix + name,
      shape,
    }));
    return splitVector(flat, named);
  }
}
