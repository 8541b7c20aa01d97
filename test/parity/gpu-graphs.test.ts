/** Tests the GPU graphs without a GPU: the CUDA graph on the CPU, the WebGPU graph on SwiftShader. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { architectures, bundledArtifacts } from '../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Artifacts, GraphName } from '../../src/artifacts/open-artifacts.js';
import { TrainingError } from '../../src/common/errors.js';
import { pack, packingOf, unpack } from '../../src/artifacts/state-vector.js';
import { OrtWorker } from '../../src/session/ort-worker.js';
import { stateLayout } from '../../src/artifacts/state-layout.js';
import { elementCount, float32Tensor, type State } from '../../src/common/tensor.js';
import { TrainSession } from '../../src/session/train-session.js';
import { CHROMIUM_ADVICE, findSwiftShader } from '../support/chromium.js';
import { median } from './parity-fixtures.js';
import { fresh, sgd, sgdDistance, sgdSteps, type SgdDistance } from './sgd-cases.js';
import { randomChunk } from '../support/tiny-network.js';
import { TINY, testProgram } from '../support/paths.js';
import { graphForProvider } from '../../src/session/training-graph.js';
import { nodePlatform } from '../../src/platform/node/node-platform.js';

const { classes, torchError } = sgd;
let tiny: Artifacts;
let runtime: OrtWorker;
beforeAll(async () => {
  tiny = await openArtifacts(TINY);
  runtime = new OrtWorker(nodePlatform.ort, 'cpu', 1);
});
afterAll(() => runtime.close());

/** Checks the bounds that sgd-settings.test.ts sets for the CPU's graphs. */
function expectAsNearAsPyTorch(found: readonly SgdDistance[], freeze: 'none' | 'backbone'): void {
  expect(found).toHaveLength(4);
  expect(median(found.map(({ weights }) => weights))).toBeLessThanOrEqual(2 * torchError[freeze]);
  for (const { losses, statistics } of found) {
    expect(losses).toBeLessThanOrEqual(1e-5);
    expect(statistics).toBeLessThanOrEqual(1e-4);
  }
}

describe('the packed state', () => {
  test.each([TINY, ...architectures().map((arch) => bundledArtifacts(arch))])(
    'is what the graphs of %s take',
    async (folder) => {
      const { manifest } = await openArtifacts(folder);
      const sizes = new Map(
        stateLayout(manifest, classes).map(({ name, shape }) => [name, elementCount(shape) ?? NaN]),
      );
      for (const graph of ['trainCuda', 'trainWebgpu', 'packedState'] as const) {
        const spec = manifest.graphs[graph];
        if (spec === undefined) continue; // a network without graphs for GPUs
        const { inputs, packed } = spec;
        const packing = Object.entries(packingOf(manifest, packed));
        expect(packing).toHaveLength(3);
        for (const [vector, parts] of packing) {
          const size = parts.reduce((sum, part) => sum + (sizes.get(part) ?? NaN), 0);
          expect([vector, inputs.find(({ name }) => name === vector)?.shape]).toEqual([
            vector,
            [size],
          ]);
        }
      }
    },
  );

  test('unpacks to what was packed', () => {
    const tensors = {
      a: float32Tensor([2, 1], Float32Array.of(1, 2)),
      b: float32Tensor([3], Float32Array.of(3, 4, 5)),
      head: float32Tensor([], Float32Array.of(6)),
    };
    const packing = { both: ['b', 'a'] };
    const packed = pack(tensors, packing);
    expect(packed).toEqual({
      both: float32Tensor([5], Float32Array.of(3, 4, 5, 1, 2)),
      head: tensors.head,
    });
    const shapes = { a: [2, 1], b: [3] };
    expect(unpack(packed, packing, (name) => shapes[name as 'a' | 'b'])).toEqual(tensors);
    expect(() => pack(tensors, { both: ['c'] })).toThrow(
      new TrainingError('expected the tensor c, found none'),
    );
  });
});

test('each device has its graph', () => {
  const all = (['cpu', 'cuda', 'webgpu'] as const).map((provider) =>
    (['train', 'trainExtended', 'trainHead'] as const).map((graph) =>
      graphForProvider(provider, graph),
    ),
  );
  expect(all).toEqual([
    ['train', 'trainExtended', 'trainHead'],
    ['trainCuda', 'trainCuda', 'trainHead'],
    ['trainWebgpu', 'trainWebgpu', 'trainHead'],
  ]);
});

describe('the CUDA graph, on the CPU', () => {
  test('is as near to float64 as PyTorch, with and without Nesterov and clipping', async () => {
    const found = [];
    for (const one of sgd.cases.filter(({ freeze }) => freeze === 'none')) {
      const steps = await sgdSteps(runtime, tiny, one, one, 'trainCuda');
      found.push(sgdDistance(tiny, one, steps));
      expect(steps.end.get('bn1.num_batches_tracked')?.data).toEqual(BigInt64Array.of(6n));
    }
    expectAsNearAsPyTorch(found, 'none');
  });

  test('batches of another size, as the last of an epoch, have a session of their own', async () => {
    const loads: string[] = [];
    const watched = new Proxy(runtime, {
      get(target, key) {
        if (key === 'loadGraph') {
          return (from: Artifacts, graph: GraphName) => {
            loads.push(graph);
            return target.loadGraph(from, graph);
          };
        }
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const end = async (of: OrtWorker, graph: 'trainCuda' | 'trainExtended'): Promise<State> => {
      const session = await TrainSession.create(of, tiny, classes, graph);
      await session.setState(await fresh(tiny, 1));
      for (const batchSize of [4, 2, 4, 2]) {
        await session.step(randomChunk({ steps: 2, batchSize, classes, seed: batchSize }));
      }
      return session.getState();
    };
    const found = await end(watched, 'trainCuda');
    expect(loads).toEqual(['trainCuda', 'trainCuda']);
    const expected = await end(runtime, 'trainExtended');
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [name, { data }] of expected) {
      const wanted = [...data].map(Number);
      const apart = [...(found.get(name)?.data ?? [])].map((value, i) => {
        return Number(value) - (wanted[i] ?? NaN);
      });
      expect(apart).toHaveLength(wanted.length);
      const bound = 1e-3 * Math.hypot(...wanted) + 1e-6;
      expect([name, Math.hypot(...apart) <= bound]).toEqual([name, true]);
    }
  });
});

const icd = findSwiftShader();
// A missing driver fails the test in CI; elsewhere it skips the test.
const where = icd !== null || process.env.CI ? describe : describe.skip;
where(`on WebGPU by SwiftShader${icd === null ? ` (${CHROMIUM_ADVICE})` : ''}`, () => {
  test.each(['none', 'backbone'] as const)(
    'Nesterov and clipping are as near to float64 as PyTorch, frozen: %s',
    async (freeze) => {
      if (icd === null) throw new Error(CHROMIUM_ADVICE);
      const script = testProgram('parity/parity-process');
      const env = { ...process.env, NODE_OPTIONS: '', VK_ICD_FILENAMES: icd };
      const words = [script, 'settings', freeze];
      const { stdout } = await promisify(execFile)(process.execPath, words, { env });
      expectAsNearAsPyTorch(JSON.parse(stdout) as SgdDistance[], freeze);
    },
    300_000,
  );
});
