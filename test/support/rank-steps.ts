/** Training steps of the tiny network, for several ranks or for one process. */

import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { OrtWorker } from '../../src/session/ort-worker.js';
import { type TrainSession } from '../../src/session/train-session.js';
import type { State } from '../../src/common/tensor.js';
import { initialState } from '../../src/platform/node/defaults.js';
import { randomChunk } from './tiny-network.js';
import { TINY } from './paths.js';
import type { GraphSettings } from '../../src/session/training-graph.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

export const CLASSES = 3;
/** Gradient norm for clipping, well below the norm of the third step's gradients. */
const MAX_NORM = 0.1;

export type Ways = Pick<GraphSettings, 'freeze' | 'nesterov'>;
/** Settings by the name that the scenario `steps` of long/mpi/rank.ts takes. */
export const WAYS = {
  plain: { freeze: 'none', nesterov: false },
  nesterov: { freeze: 'none', nesterov: true },
  frozen: { freeze: 'backbone', nesterov: false },
  'frozen-nesterov': { freeze: 'backbone', nesterov: true },
} as const satisfies Record<string, Ways>;

/** Takes three steps, on the same batches in every process. The third clips its gradients. */
export async function threeSteps(
  { nesterov }: Ways,
  open: (runtime: OrtWorker, artifacts: Artifacts) => Promise<TrainSession>,
): Promise<{ losses: number[]; state: State }> {
  const artifacts = await openArtifacts(TINY);
  const runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
  try {
    const session = await open(runtime, artifacts);
    const start = { weights: 'random', classes: CLASSES, seed: 1 };
    await session.setState((await initialState(artifacts, start)).state);
    const losses: number[] = [];
    for (let seed = 0; seed < 3; seed++) {
      const options = { steps: 1, batchSize: 5, classes: CLASSES, weightDecay: 0.01 };
      const chunk = { ...randomChunk({ ...options, seed, headLr: 0.05 }), nesterov };
      const found = await session.step(seed === 2 ? { ...chunk, maxNorm: MAX_NORM } : chunk);
      losses.push(...found.losses);
    }
    return { losses, state: await session.getState() };
  } finally {
    await runtime.close();
  }
}
