/** Tests rows 1 and 2 of docs/results/parity.md without Python: photographs from the loader and from torchvision. */

import path from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { bundledArtifacts } from '../../src/artifacts/node/bundled-artifacts.js';
import { openArtifacts } from '../../src/platform/node/defaults.js';
import type { Artifacts } from '../../src/artifacts/open-artifacts.js';
import type { Dataset } from '../../src/data/dataset.js';
import { decodeImage } from '../../src/platform/node/sharp-decoder.js';
import { Philox, STREAM } from '../../src/common/philox.js';
import { randomFlip, randomResizedCropBox } from '../../src/images/transforms.js';
import { PARITY, readFixture, type PixelFixture } from './parity-fixtures.js';
import { toLevels } from './pixel-fixtures.js';
import { loadImages } from './provider-steps.js';

let resnet18: Artifacts;
beforeAll(async () => {
  resnet18 = await openArtifacts(bundledArtifacts());
});

describe('rows 1 and 2: pixels', () => {
  const fixture = readFixture('pixels.json') as PixelFixture;
  const files = fixture.images.map(({ file }) => path.join(PARITY, 'photographs', file));
  const dataset: Dataset = {
    classes: ['only'],
    length: files.length,
    get: (index) => ({ image: files[index] ?? '', label: 0 }),
  };

  function expectClose(images: Float32Array[], references: string[]): void {
    expect(images).toHaveLength(references.length);
    const { preprocessing } = resnet18.manifest;
    for (const [index, image] of images.entries()) {
      const found = toLevels(image, preprocessing.inputSize, fixture.stride, preprocessing);
      const expected = Buffer.from(references[index] ?? '', 'base64');
      expect(found).toHaveLength(expected.length);
      const apart = found.map((level, at) => Math.abs(level - (expected[at] ?? NaN)));
      const mean = apart.reduce((a, b) => a + b, 0) / apart.length;
      // Allow 0.001 for the comparison, which undoes the normalisation in float32.
      const what = fixture.images[index]?.file;
      expect([what, Math.max(...apart) <= 2.001, mean <= 0.05]).toEqual([what, true, true]);
    }
  }

  test('evaluation: two levels at the worst pixel, 0.05 on average', async () => {
    expect(files.length).toBeGreaterThanOrEqual(10);
    const images = await loadImages(resnet18, dataset, 'evaluate');
    expectClose(
      images,
      fixture.images.map(({ evaluated }) => evaluated),
    );
  });

  test('training: the same with the same crop and flip, enlarged crops included', async () => {
    const { seed, epoch } = fixture;
    const images = await loadImages(resnet18, dataset, 'train', { seed, epoch });
    expectClose(
      images,
      fixture.images.map(({ cropped }) => cropped),
    );
    const crops = fixture.images.map(({ crop }) => crop);
    expect(new Set(crops.map(([, , , , flip]) => flip))).toEqual(new Set([0, 1]));
    expect(crops.some(([, , height = NaN, width = NaN]) => height < 224 && width < 224)).toBe(true);
  });

  test('the crops are those that were drawn', async () => {
    const { cropScale, cropRatio, flipProbability } = resnet18.manifest.preprocessing;
    for (const [index, { crop }] of fixture.images.entries()) {
      const { width, height } = await decodeImage(files[index] ?? '');
      const random = new Philox(fixture.seed, STREAM.crop, fixture.epoch, index);
      const ranges = { scale: cropScale, ratio: cropRatio };
      const box = randomResizedCropBox(width, height, ranges, random);
      const flip = Number(randomFlip(flipProbability, random));
      expect([box.top, box.left, box.height, box.width, flip]).toEqual(crop);
    }
  });
  // The sampler of row 2 is tested in unit/images/transforms.test.ts.
});
