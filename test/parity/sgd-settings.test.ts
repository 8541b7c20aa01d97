/** Compares Nesterov momentum, clipping and a frozen backbone with PyTorch (scripts/fixtures/settings.py). */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import { OrtWorker } from '../../src/session/ort-worker.js';
import type { State } from '../../src/common/tensor.js';
import { TrainSession } from '../../src/session/train-session.js';
import { median } from './parity-fixtures.js';
import {
  fresh,
  sgd,
  sgdDistance,
  sgdSteps,
  type Settings,
  type SgdCase,
  type SgdDistance,
} from './sgd-cases.js';
import { randomChunk } from '../support/tiny-network.js';
import { TINY } from '../support/paths.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

const { classes, torchError } = sgd;
let artifacts: Artifacts;
let runtime: OrtWorker;
beforeAll(async () => {
  artifacts = await openArtifacts(TINY);
  runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
});
afterAll(() => runtime.close());

async function distance(expected: SgdCase, settings: Settings = expected): Promise<SgdDistance> {
  return sgdDistance(artifacts, expected, await sgdSteps(runtime, artifacts, expected, settings));
}

describe.each(['none', 'backbone'] as const)('six steps, frozen: %s', (freeze) => {
  const cases = sgd.cases.filter((one) => one.freeze === freeze);

  test('are as near to float64 as PyTorch, with and without Nesterov and clipping', async () => {
    expect(cases).toHaveLength(4);
    const found = [];
    for (const one of cases) found.push(await distance(one));
    expect(median(found.map(({ weights }) => weights))).toBeLessThanOrEqual(2 * torchError[freeze]);
    for (const { losses, statistics } of found) {
      expect(losses).toBeLessThanOrEqual(1e-5);
      expect(statistics).toBeLessThanOrEqual(1e-4);
    }
  });

  test('each setting left out, or one more, is noticed', async () => {
    for (const one of cases) {
      for (const wrong of [
        { ...one, nesterov: !one.nesterov },
        { ...one, clipGradNorm: one.clipGradNorm === 0 ? 0.3 : 0 },
      ]) {
        expect((await distance(one, wrong)).weights).toBeGreaterThan(1e-3);
      }
    }
  });
});

describe('a frozen backbone', () => {
  const settings = { freeze: 'backbone', nesterov: true, clipGradNorm: 0.5 } as const;
  const options = { batchSize: 3, classes, weightDecay: 0.01 };

  test('stays as it is, to the bit, with its statistics, momentum and counters', async () => {
    const [one] = sgd.cases;
    if (one === undefined) throw new Error('no case');
    const { start, end } = await sgdSteps(runtime, artifacts, one, settings);
    expect([...end.keys()].sort()).toEqual([...start.keys()].sort());
    const moved = [...end].filter(([name, { data }]) => {
      return data.some((value, i) => value !== start.get(name)?.data[i]);
    });
    const names = moved.map(([name]) => name).sort();
    expect(names).toEqual([...['fc.bias', 'fc.weight', 'momentum.fc.bias', 'momentum.fc.weight']]);
  });

  test('K steps in one call are, bit for bit, K calls of one step', async () => {
    const session = await TrainSession.create(runtime, artifacts, classes, 'trainHead');
    const more = { nesterov: true, maxNorm: 0.5 };
    const start = await fresh(artifacts, 3);
    await session.setState(start);
    const together = await session.step({ ...randomChunk({ ...options, steps: 4 }), ...more });
    const end = await session.getState();
    await session.setState(start);
    const losses: number[] = [];
    for (let k = 0; k < 4; k++) {
      const all = randomChunk({ ...options, steps: 4 });
      const cut = (array: Float32Array): Float32Array<ArrayBuffer> =>
        new Float32Array(array.slice((k * array.length) / 4, ((k + 1) * array.length) / 4));
      const { images, targets, lr: rates } = all;
      const part = { images: cut(images), targets: cut(targets), headLr: cut(rates) };
      const chunk = { ...all, ...part, ...more, steps: 1, lr: cut(rates) };
      losses.push(...(await session.step(chunk)).losses);
    }
    expect(losses).toEqual([...together.losses]);
    expect(await session.getState()).toEqual(end);
  });
});

test('without its extras the extended graph gives the same bits', async () => {
  const ends: State[] = [];
  for (const graph of ['train', 'trainExtended'] as const) {
    const session = await TrainSession.create(runtime, artifacts, classes, graph);
    await session.setState(await fresh(artifacts, 4));
    await session.step(randomChunk({ steps: 3, batchSize: 4, classes, weightDecay: 0.01 }));
    ends.push(await session.getState());
  }
  const [plain, extended] = ends;
  expect(plain?.get('fc.weight')).not.toEqual((await fresh(artifacts, 4)).get('fc.weight'));
  expect(extended).toEqual(plain);
});
