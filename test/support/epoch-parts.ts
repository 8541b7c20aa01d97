/** Batches, sessions and runs of small numbers, for tests of the loop that need no graph. */

import type { Batch, BatchLoader } from '../../src/data/batch.js';
import { SINGLE_PROCESS } from '../../src/distributed/process-group.js';
import { SharedStop } from '../../src/distributed/shared-stop.js';
import type { StackedBatches, StepResults } from '../../src/session/train-session.js';
import type { EpochParts } from '../../src/train/train-epoch.js';
import {
  TrainingRun,
  type ReachedState,
  type TrainingRunOptions,
} from '../../src/train/training-run.js';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js';
import type { LoopSettings } from '../../src/train/training.js';

export const SETTINGS: LoopSettings = {
  lr: 0.1,
  headLr: 0,
  schedule: 'constant',
  warmupEpochs: 0,
  stepSize: 1,
  gamma: 1,
  epochs: 5,
  earlyStop: 0,
  momentum: 0.9,
  weightDecay: 0.01,
};

/** A batch whose images hold the number of its first sample. */
export function batch(first: number, size: number): Batch {
  const indices = Uint32Array.from({ length: size }, (_, i) => first + i);
  return {
    images: new Float32Array(size * 3).fill(first),
    labels: Int32Array.from(indices, (index) => index % 2),
    indices,
  };
}

/** Batches of these sizes, one after the other. */
export async function* stream(...sizes: number[]): AsyncGenerator<Batch, void, undefined> {
  let first = 0;
  for (const size of sizes) {
    yield await Promise.resolve(batch(first, size));
    first += size;
  }
}

export interface FakeLoader extends Omit<BatchLoader, 'recycle'> {
  readonly recycle: (images: Float32Array<ArrayBuffer>) => void;
  /** Lengths of the images that were given back. */
  readonly recycled: readonly number[];
}

/** A loader of these batches. */
export function loaderOf(batches: AsyncIterable<Batch>): FakeLoader {
  const recycled: number[] = [];
  return {
    length: 26,
    batchCount: 7,
    epoch: () => batches,
    recycle: (images) => void recycled.push(images.length),
    names: (indices) => Promise.resolve([...indices].map((index) => `${index}.jpg`)),
    recycled,
  };
}

/** A session whose losses are given and whose logits always say class 1. It tells whether a step is under way. */
export class FakeSession {
  readonly chunks: StackedBatches[] = [];
  busy = false;

  constructor(private readonly losses: number[]) {}

  async step(chunk: StackedBatches): Promise<StepResults> {
    this.chunks.push(chunk);
    this.busy = true;
    await new Promise((resolve) => setTimeout(resolve, 2));
    this.busy = false;
    const logits = new Float32Array(chunk.steps * chunk.batchSize * 2).map((_, i) => i % 2);
    return { losses: Float32Array.from(this.losses.splice(0, chunk.steps)), logits };
  }
}

export interface PartsOptions {
  readonly session: EpochParts['session'];
  readonly batches: AsyncIterable<Batch>;
  readonly run?: TrainingRun;
  readonly signal?: AbortSignal;
  readonly config?: Partial<LoopSettings>;
  readonly stepsPerExecution?: number;
  readonly emit?: EpochParts['emit'];
}

/** Parts of a training in one process. */
export function epochParts(options: PartsOptions): EpochParts {
  const loader = loaderOf(options.batches);
  return {
    session: options.session,
    trainLoader: loader,
    valLoader: loader,
    stepsPerExecution: options.stepsPerExecution ?? 8,
    classes: ['a', 'b'],
    classWeights: undefined,
    config: { ...SETTINGS, ...options.config },
    run: options.run ?? runAfter({ step: 10 }),
    stop: new SharedStop(SINGLE_PROCESS, options.signal),
    emit: options.emit ?? (() => undefined),
  };
}

/** A run that has come so far, and whose checkpoints are handed to `save`. */
export function runAfter(
  reached: Partial<ReachedState>,
  options: Partial<TrainingRunOptions> & { save?: (checkpoint: Checkpoint) => Promise<void> } = {},
): TrainingRun {
  const { save = (): Promise<void> => Promise.resolve(), ...more } = options;
  const from: ReachedState = { epoch: 0, step: 0, partial: null, best: null, records: [] };
  return new TrainingRun(
    {
      metrics: { dir: 'run', writeMetrics: () => Promise.resolve() },
      checkpoints: { save, saveBest: () => Promise.resolve() },
      session: { getState: () => Promise.resolve(new Map()) },
      identity: {
        arch: '',
        classes: ['a', 'b'],
        fingerprints: { data: '', artifacts: '' },
        config: {},
      },
      stepsPerEpoch: 7,
      saveEvery: 0,
      ...more,
    },
    { ...from, ...reached },
  );
}
