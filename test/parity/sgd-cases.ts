/** Reads fixtures of scripts/fixtures/settings.py: six steps of the tiny network with each of SGD's settings. */

import path from 'node:path';
import { readFileSync } from 'node:fs';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import type { TrainingGraph } from '../../src/artifacts/manifest.js';
import { targetRows } from '../../src/train/loss-targets.js';
import type { OrtWorker } from '../../src/session/ort-worker.js';
import type { TrainSettings } from '../../src/config/train-settings.js';
import type { State } from '../../src/common/tensor.js';
import { TrainSession } from '../../src/session/train-session.js';
import { initialState } from '../../src/platform/node/defaults.js';
import { randomImages, relativeDistance, way, type References } from './parity-fixtures.js';
import { INPUT_SIZE } from '../support/tiny-network.js';
import { ROOT } from '../support/paths.js';
import { trainingGraph } from '../../src/session/training-graph.js';

export type Settings = Pick<TrainSettings, 'freeze' | 'nesterov' | 'clipGradNorm'>;

/** Six steps in PyTorch, float64. */
export interface SgdCase extends Settings {
  readonly seed: number;
  readonly losses: readonly number[];
  readonly weights: References;
  readonly statistics: References;
}

interface SgdFixture {
  readonly lr: number;
  readonly weightDecay: number;
  readonly batch: number;
  readonly classes: number;
  /** Distance of PyTorch in float32, median over the cases. */
  readonly torchError: Readonly<Record<Settings['freeze'], number>>;
  readonly cases: readonly SgdCase[];
}

const text = readFileSync(path.join(ROOT, 'test', 'fixtures', 'settings.json'), 'utf8');
export const { sgd } = JSON.parse(text) as { sgd: SgdFixture };
const { classes, batch, lr, weightDecay } = sgd;

export async function fresh(artifacts: Artifacts, seed: number): Promise<State> {
  const { state } = await initialState(artifacts, { weights: 'random', classes, seed });
  return state;
}

/** Takes the steps of a case with `settings`; returns the losses, and the state before and after. */
export async function sgdSteps(
  runtime: OrtWorker,
  artifacts: Artifacts,
  { seed, losses: { length: count } }: SgdCase,
  settings: Settings,
  graph: TrainingGraph = trainingGraph(settings),
): Promise<{ losses: Float32Array; start: State; end: State }> {
  const session = await TrainSession.create(runtime, artifacts, classes, graph);
  const start = await fresh(artifacts, seed);
  await session.setState(start);
  const labels = Int32Array.from({ length: batch * count }, (_, i) => i % classes);
  const targets = new Float32Array(labels.length * classes);
  for (let first = 0; first < labels.length; first += batch) {
    targets.set(targetRows(labels.slice(first, first + batch), classes), first * classes);
  }
  const { losses } = await session.step({
    ...{ steps: count, batchSize: batch, targets, momentum: 0.9, weightDecay },
    images: randomImages(count * batch, INPUT_SIZE, seed),
    lr: new Float32Array(count).fill(lr),
    headLr: new Float32Array(count).fill(lr),
    nesterov: settings.nesterov,
    maxNorm: settings.clipGradNorm || Infinity,
  });
  return { losses, start, end: await session.getState() };
}

/** Relative distances from PyTorch in float64. */
export interface SgdDistance {
  readonly losses: number;
  /** Distance relative to how far the weights moved. */
  readonly weights: number;
  readonly statistics: number;
}

export function sgdDistance(
  { manifest }: Artifacts,
  expected: SgdCase,
  { losses, start, end }: Awaited<ReturnType<typeof sgdSteps>>,
): SgdDistance {
  const apart = Math.hypot(...expected.losses.map((loss, k) => loss - (losses[k] ?? NaN)));
  const from = (references: References): number =>
    Object.keys(references).length === 0
      ? 0
      : relativeDistance(manifest, references, way(start, end));
  return {
    losses: apart / Math.hypot(...expected.losses),
    weights: from(expected.weights),
    statistics: from(expected.statistics),
  };
}
