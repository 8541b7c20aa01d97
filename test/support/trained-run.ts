/** Trains a run for tests to look at, in this process. */

import path from 'node:path';
import { train, type TrainResult } from '../../src/index.js';
import { TINY } from './paths.js';
import { makeData } from './run-process.js';

/** Trains the tiny network for three epochs on the images of {@link makeData}; data and run lie in `dir`. */
export async function trainTiny(dir: string): Promise<TrainResult> {
  return train({
    data: await makeData(path.join(dir, 'data'), 8, 5),
    ...({ artifacts: TINY, weights: 'random', device: 'cpu', workers: 1 } as const),
    ...{ out: path.join(dir, 'run'), epochs: 3, lr: 0.003, seed: 1 },
  });
}
