/** A step that several ranks take together: each its own batch, all the same update. */

import type { Artifacts } from '../artifacts/open-artifacts.js';
import { TrainingError } from '../common/errors.js';
import { selectInputs, type GraphSettings } from '../session/training-graph.js';
import type { OrtWorker } from '../session/ort-worker.js';
import { TrainSession, type StackedBatches, type StepResults } from '../session/train-session.js';
import { stateLayout } from '../artifacts/state-layout.js';
import { elementCount, float32Tensor, type Tensor, type FloatTensors } from '../common/tensor.js';
import type { MpiProcessGroup } from './mpi-process-group.js';

/**
 * Scales gradients down, in place, to a norm of at most `maxNorm` over all of them.
 *
 * Source: torch.nn.utils.clip_grad_norm_. Every rank has the same bits, so all come to the same factor.
 */
export function clip(gradients: Float32Array, maxNorm: number): void {
  if (maxNorm === Infinity) return;
  let squares = 0;
  for (const value of gradients) squares += value * value;
  const factor = maxNorm / (Math.sqrt(squares) + 1e-6);
  if (factor >= 1) return;
  for (let i = 0; i < gradients.length; i++) gradients[i] = (gradients[i] ?? 0) * factor;
}

/** The two graphs of a step, and what learns in them. */
interface Stages {
  readonly gradients: 'gradients' | 'gradientsHead';
  readonly update: 'update' | 'updateExtended' | 'updateHead';
  readonly frozen: boolean;
}

function stagesFor({ freeze, nesterov }: Omit<GraphSettings, 'clipGradNorm'>): Stages {
  if (freeze === 'backbone') {
    return { gradients: 'gradientsHead', update: 'updateHead', frozen: true };
  }
  return { gradients: 'gradients', update: nesterov ? 'updateExtended' : 'update', frozen: false };
}

/** Gradients of the rank's batch; their mean over the ranks, by one all-reduce; the update by it. */
export class DdpTrainSession extends TrainSession {
  /** Seconds in which gradients were reduced, or other ranks' waited for, so far. */
  allReduceSeconds = 0;
  readonly #group: Pick<MpiProcessGroup, 'size' | 'allReduce'>;
  readonly #stages: Stages;
  readonly #update: number;
  /** Those that learn. */
  readonly #parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];

  /** @param update number of the update graph; `gradients` is that of the other. */
  private constructor(
    group: Pick<MpiProcessGroup, 'size' | 'allReduce'>,
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    stages: Stages,
    gradients: number,
    update: number,
  ) {
    super(runtime, artifacts, gradients, classes);
    this.#group = group;
    this.#stages = stages;
    this.#update = update;
    const layout = stateLayout(artifacts.manifest, classes);
    const roles = stages.frozen ? ['head'] : ['backbone', 'head'];
    this.#parameters = layout.filter(({ role }) => roles.includes(role));
  }

  /** @param settings those that decide which graphs can do what they ask for. */
  static async open(
    group: Pick<MpiProcessGroup, 'size' | 'allReduce'>,
    runtime: OrtWorker,
    artifacts: Artifacts,
    classes: number,
    settings: Omit<GraphSettings, 'clipGradNorm'>,
  ): Promise<DdpTrainSession> {
    const stages = stagesFor(settings);
    const gradients = await runtime.load(artifacts.graphPath(stages.gradients));
    const update = await runtime.load(artifacts.graphPath(stages.update));
    return new DdpTrainSession(group, runtime, artifacts, classes, stages, gradients, update);
  }

  /**
   * Takes one step, with every other rank: the chunk holds one batch.
   *
   * @returns loss and logits of this rank's batch.
   */
  override async step(chunk: StackedBatches): Promise<StepResults> {
    const { steps, batchSize, momentum, weightDecay } = chunk;
    if (steps !== 1) throw new RangeError(`expected one step a call, got ${steps}`);
    const { graphs, preprocessing } = this.artifacts.manifest;
    const { size } = this.#group;
    const side = preprocessing.inputSize;
    // The gradient is linear in the targets: from a part of them, the sum over the ranks is the mean.
    const targets = chunk.targets.map((value) => value / size);
    const batch = {
      images: float32Tensor([batchSize, 3, side, side], chunk.images),
      targets: float32Tensor([batchSize, this.classes], targets),
    };
    const { outputPrefix } = graphs[this.#stages.gradients];
    const found = await this.runtime.step(this.session, batch, outputPrefix);
    const { loss, logits, gradients } = found;
    if (loss === undefined || logits === undefined || gradients === undefined) {
      throw new TrainingError(
        'expected loss, logits and gradients of the gradient graph, got less',
      );
    }
    const began = performance.now();
    const mean = await this.#group.allReduce(gradients.data as Float32Array);
    this.allReduceSeconds += (performance.now() - began) / 1000;
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
    // What is in evaluation mode counts no batches.
    if (!this.#stages.frozen) this.countSteps(1);
    const losses = Float32Array.of(Number(loss.data[0]) * size);
    return { losses, logits: logits.data as Float32Array };
  }

  /** The parts of the flat gradients, as the update graph names them. */
  #named(flat: Float32Array): FloatTensors {
    const { gradientPrefix } = this.artifacts.manifest.graphs[this.#stages.update];
    const parts: FloatTensors = {};
    let begin = 0;
    for (const { name, shape } of this.#parameters) {
      const end = begin + (elementCount(shape) ?? 0);
      parts[gradientPrefix + name] = float32Tensor(shape, flat.subarray(begin, end));
      begin = end;
    }
    if (begin === flat.length) return parts;
    throw new TrainingError(`expected gradients of ${begin} parameters, got ${flat.length}`);
  }
}
