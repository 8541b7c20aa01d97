/** The preprocessing graphs, in the runtime that ships, against torchvision's results. */

import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bundledArtifacts } from '../../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import {
  bicubicGraph,
  references,
  runGraphs,
  toLevels,
  transformFixture,
  type TransformCase,
} from '../../parity/pixel-fixtures.js';
import { FIXTURES } from '../../support/paths.js';

const ARTIFACTS: Record<number, Artifacts> = {
  32: await openArtifacts(path.join(FIXTURES, 'tiny')),
  224: await openArtifacts(bundledArtifacts()),
};

const HALVES = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

describe.each([32, 224])('size %i', (size) => {
  const stride = references.stride[size] ?? 1;
  const artifacts = ARTIFACTS[size];
  if (!artifacts) throw new Error('no such artifacts');

  async function expectClose(
    cases: readonly TransformCase[],
    graphs: Readonly<Record<'train' | 'evaluate', Uint8Array>>,
    scaling: Parameters<typeof toLevels>[3],
  ): Promise<void> {
    const runs = cases.map(({ image, box, flip = false }) => ({
      graph: graphs[box ? 'train' : 'evaluate'],
      image: transformFixture(image),
      ...(box ? { box, flip } : {}),
    }));
    const results = await runGraphs(runs);
    expect(results).toHaveLength(cases.length);
    for (const [index, one] of cases.entries()) {
      const found = toLevels(results[index] ?? new Float32Array(), size, stride, scaling);
      const expected = Buffer.from(one.levels, 'base64');
      expect(found).toHaveLength(expected.length);
      let largest = 0;
      let sum = 0;
      for (const [at, level] of found.entries()) {
        // Before normalisation the pixels were whole levels.
        expect(Math.abs(level - Math.round(level))).toBeLessThan(0.01);
        const difference = Math.abs(level - (expected[at] ?? NaN));
        largest = Math.max(largest, difference);
        sum += difference;
      }
      const what = JSON.stringify({ ...one, levels: undefined });
      expect([what, largest < 2.01]).toEqual([what, true]);
      expect([what, sum / found.length < 0.05]).toEqual([what, true]);
    }
  }

  const casesOf = (interpolation: string): TransformCase[] =>
    references.transforms.filter((one) => one.size === size && one.interpolation === interpolation);

  test('bilinear: within two levels of torchvision everywhere, 0.05 on average', async () => {
    const { manifest, preprocessingGraphs } = artifacts;
    await expectClose(casesOf('bilinear'), preprocessingGraphs, manifest.preprocessing);
  });

  test('bicubic: the same', async () => {
    const cases = casesOf('bicubic');
    expect(cases).toHaveLength(casesOf('bilinear').length);
    const graphs = {
      train: bicubicGraph('train', size),
      evaluate: bicubicGraph('evaluate', size),
    };
    await expectClose(cases, graphs, HALVES);
  });

  test('the manifest names the transforms these references were made with', () => {
    expect(artifacts.manifest.preprocessing).toMatchObject({
      inputSize: size,
      resizeSize: size === 224 ? 256 : 37,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
      interpolation: 'bilinear',
    });
  });
});
