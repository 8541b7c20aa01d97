/** Takes the steps of row 3: one float32 step from random weights per case, compared with PyTorch in float64. */

import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { targetRows } from '../../src/train/loss-targets.js';
import type { OrtWorker } from '../../src/session/ort-worker.js';
import { TrainSession } from '../../src/session/train-session.js';
import { MOMENTUM_PREFIX } from '../../src/common/tensor.js';
import { initialState } from '../../src/platform/node/defaults.js';
import {
  randomImages,
  relativeDistance,
  valuesOf,
  type StepCase,
  type StepFixture,
} from './parity-fixtures.js';

/** Relative errors of a step. */
export interface StepErrors {
  readonly gradient: number;
  readonly loss: number;
  readonly statistics: number;
}

/** @param weightDecay the driver's setting. The errors must show if it is not the case's. */
export async function stepErrors(
  artifacts: Artifacts,
  session: TrainSession,
  lr: number,
  { seed, classes, batch, ...expected }: StepCase,
  weightDecay = expected.weightDecay,
): Promise<StepErrors> {
  const { manifest } = artifacts;
  const { state } = await initialState(artifacts, { weights: 'random', classes, seed });
  await session.setState(state);
  const labels = Int32Array.from({ length: batch }, (_, i) => (i + seed) % classes);
  const { losses } = await session.step({
    steps: 1,
    batchSize: batch,
    images: randomImages(batch, manifest.preprocessing.inputSize, seed),
    targets: targetRows(labels, classes),
    lr: Float32Array.of(lr),
    headLr: Float32Array.of(lr),
    momentum: 0.9,
    weightDecay,
  });
  const next = await session.getState();
  return {
    loss: Math.abs((losses[0] ?? NaN) / expected.loss - 1),
    // The momentum starts at zero, so after one step it is the gradient.
    gradient: relativeDistance(manifest, expected.gradients, (name) =>
      valuesOf(next, MOMENTUM_PREFIX + name),
    ),
    statistics: relativeDistance(manifest, expected.statistics, (name) => valuesOf(next, name)),
  };
}

/** Returns the errors of all cases, in no particular order. */
export async function allStepErrors(
  runtime: OrtWorker,
  artifacts: Artifacts,
  lr: number,
  { cases }: StepFixture,
): Promise<StepErrors[]> {
  const errors: StepErrors[] = [];
  for (const classes of new Set(cases.map((one) => one.classes))) {
    const session = await TrainSession.create(runtime, artifacts, classes);
    for (const one of cases) {
      if (one.classes === classes) errors.push(await stepErrors(artifacts, session, lr, one));
    }
  }
  return errors;
}
