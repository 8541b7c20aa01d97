/** The preprocessing graphs, in the runtime that ships, against torchvision's results. */

import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bundledArtifacts } from '../../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../../src/platform/node/defaults.js';
import type { Artifacts } from '../../../src/artifacts/open-artifacts.js';
import { references, runGraphs, toLevels, transformFixture } from '../../parity/pixel-fixtures.js';
import { FIXTURES } from '../../support/paths.js';

const ARTIFACTS: Record<number, Artifacts> = {
  32: await openArtifacts(path.join(FIXTURES, 'tiny')),
  224: await openArtifacts(bundledArtifacts()),
};

describe.each([32, 224])('size %i', (size) => {
  const cases = references.transforms.filter((one) => one.size === size);
  const stride = references.stride[size] ?? 1;

  test('within two levels of torchvision everywhere, 0.05 on average', async () => {
    const artifacts = ARTIFACTS[size];
    if (!artifacts) throw new Error('no such artifacts');
    const runs = cases.map(({ image, box, flip = false }) => ({
      graph: artifacts.graphPath(box ? 'preprocessTrain' : 'preprocessEvaluate'),
      image: transformFixture(image),
      ...(box ? { box, flip } : {}),
    }));
    const results = await runGraphs(runs);
    expect(results).toHaveLength(cases.length);
    for (const [index, one] of cases.entries()) {
      const { preprocessing } = artifacts.manifest;
      const found = toLevels(results[index] ?? new Float32Array(), size, stride, preprocessing);
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
  });

  test('the manifest names the transforms these references were made with', () => {
    expect(ARTIFACTS[size]?.manifest.preprocessing).toMatchObject({
      inputSize: size,
      resizeSize: size === 224 ? 256 : 37,
      mean: [0.485, 0.456, 0.406],
      std: [0.229, 0.224, 0.225],
    });
  });
});
