/** Uses parts of the driver for the parity tests: its loader alone, and twenty steps of training. */

import path from 'node:path';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { ImageFolder } from '../../src/data/folders/image-folder.js';
import { type Dataset } from '../../src/data/dataset.js';
import { trainLoneEpoch } from '../../src/train/train-epoch.js';
import { DataLoader } from '../../src/data/data-loader.js';
import { stepLr } from '../../src/train/lr-schedule.js';
import type { OrtWorker } from '../../src/session/ort-worker.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';
import { TrainSession } from '../../src/session/train-session.js';
import type { State } from '../../src/common/tensor.js';
import { initialState } from '../../src/platform/node/defaults.js';
import {
  relativeDistance,
  way,
  type Distance,
  type TrajectoryCase,
  type TrajectoryFixture,
} from './parity-fixtures.js';
import { FIXTURES } from '../support/paths.js';
import { stepsPerExecution } from '../../src/session/training-graph.js';

export const SAMPLES = path.join(FIXTURES, '..', '..', 'samples', 'textures');

export interface Trajectory {
  readonly losses: readonly number[];
  readonly start: State;
  readonly firstEpoch: State;
  readonly end: State;
}

/** Returns a data set of the first `perClass` images of each class of the samples. */
async function firstImages(perClass: number): Promise<Dataset> {
  const { classes, samples } = await ImageFolder.open(path.join(SAMPLES, 'train'));
  const chosen = classes.flatMap((_, label) =>
    samples.filter((sample) => sample.label === label).slice(0, perClass),
  );
  return {
    classes,
    length: chosen.length,
    get: (index) => {
      const sample = chosen[index];
      if (sample === undefined) throw new RangeError(`no image ${index}`);
      return { image: sample.image, label: sample.label };
    },
  };
}

/** Returns an array that gets the loss of each step that the session takes from now on. */
function recordLosses(session: TrainSession): number[] {
  const losses: number[] = [];
  const step = session.step.bind(session);
  session.step = async (chunk) => {
    const results = await step(chunk);
    losses.push(...results.losses);
    return results;
  };
  return losses;
}

/** Trains from random weights. The learning rate drops after every epoch. */
export async function twentySteps(
  runtime: OrtWorker,
  artifacts: Artifacts,
  fixture: TrajectoryFixture,
  seed: number,
): Promise<Trajectory> {
  const { classes, batch: batchSize, epochs, lr, gamma } = fixture;
  const session = await TrainSession.create(runtime, artifacts, classes);
  const { state: start } = await initialState(artifacts, { weights: 'random', classes, seed });
  await session.setState(start);
  const dataset = await firstImages(fixture.imagesPerClass);
  const options = {
    artifacts,
    images: nodePlatform.images,
    dataset,
    mode: 'train',
    batchSize,
    seed,
    workers: 1,
  } as const;
  const loader = new DataLoader(options);
  const losses = recordLosses(session);
  let firstEpoch: State = new Map();
  try {
    for (let epoch = 0; epoch < epochs; epoch++) {
      const rate = stepLr(epoch, { lr, stepSize: 1, gamma });
      await trainLoneEpoch({
        session,
        batches: loader.epoch(epoch),
        loader,
        stepsPerExecution: stepsPerExecution(batchSize),
        classes,
        settings: { lr: rate, momentum: 0.9, weightDecay: 0 },
      });
      if (epoch === 0) firstEpoch = await session.getState();
    }
    return { losses, start, firstEpoch, end: await session.getState() };
  } finally {
    await loader.close();
  }
}

/** Returns the distance of a trajectory from PyTorch in float64. */
export function distanceFrom(
  { manifest }: Artifacts,
  expected: TrajectoryCase,
  { losses, start, end }: Trajectory,
): Distance {
  const difference = Math.hypot(...expected.losses.map((loss, i) => loss - (losses[i] ?? NaN)));
  return {
    losses: difference / Math.hypot(...expected.losses),
    weights: relativeDistance(manifest, expected.weights, way(start, end)),
    statistics: relativeDistance(manifest, expected.statistics, way(start, end)),
  };
}

/** Loads the images [3, S, S] of a data set, in its order. */
export async function loadImages(
  artifacts: Artifacts,
  dataset: Dataset,
  mode: 'train' | 'evaluate',
  { seed = 0, epoch = 0 } = {},
): Promise<Float32Array[]> {
  const options = {
    artifacts,
    images: nodePlatform.images,
    dataset,
    mode,
    batchSize: 1,
    seed,
    workers: 2,
  };
  const loader = new DataLoader(options);
  const images: Float32Array[] = [];
  try {
    for await (const batch of loader.epoch(epoch, { shuffle: false })) images.push(batch.images);
  } finally {
    await loader.close();
  }
  return images;
}
