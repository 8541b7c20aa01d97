/** Holds: the cost of an image is bounded before step 1, and a thin or huge one gives Pillow's pixels all the same. */

import { describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { RgbImage } from '../../../../src/platform/platform.js';
import { fitEvaluation, fitTraining } from '../../../../src/images/workers/graph-input.js';
import { resample } from '../../../../src/images/resample.js';
import { references, transformFixture } from '../../../parity/pixel-fixtures.js';

/** Makes the image of `thin_levels` in scripts/fixtures/thin_images.py. */
function thinImage(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const level = x * 7 + y * 13 + ((x >> 5) + (y >> 5)) * 31;
      for (let channel = 0; channel < 3; channel++) data[at++] = level + channel * 50;
    }
  }
  return { data, width, height };
}

/** Returns every `stride`-th pixel of a square part. */
function sample({ data, width }: RgbImage, size: number, corner: number): Buffer {
  const stride = references.stride[size] ?? 1;
  const pixels: number[] = [];
  for (let y = 0; y < size; y += stride) {
    for (let x = 0; x < size; x += stride) {
      const at = ((corner + y) * width + corner + x) * 3;
      pixels.push(...data.subarray(at, at + 3));
    }
  }
  return Buffer.from(pixels);
}

const RESIZE: Readonly<Record<number, number>> = { 32: 37, 224: 256 };

describe('evaluation of thin images: exactly Pillow’s pixels, by a square that the graph only crops', () => {
  const cases = references.thin.map((one) => ({ ...one, image: thinImage(one.width, one.height) }));
  const fit = ({ image, size, interpolation }: (typeof cases)[number]): RgbImage =>
    fitEvaluation(image, { inputSize: size, resizeSize: RESIZE[size] ?? 0, interpolation });
  // The graph resizes the least thin ones itself.
  const fitted = cases.filter((one) => fit(one) !== one.image);

  test.each(fitted)('$width x $height for $size, $interpolation', (one) => {
    const { size, levels } = one;
    const square = fit(one);
    const resizeSize = RESIZE[size] ?? 0;
    expect([square.width, square.height]).toEqual([resizeSize, resizeSize]);
    // round((37 - 32) / 2) is 2, and (256 - 224) / 2 is 16.
    const found = sample(square, size, size === 32 ? 2 : 16);
    expect(found.equals(Buffer.from(levels, 'base64'))).toBe(true);
  });

  test.each(['bilinear', 'bicubic'])('%s: covers both sizes and directions', (name) => {
    const covered = fitted.filter(({ interpolation }) => interpolation === name);
    expect(covered.length).toBeGreaterThanOrEqual(6);
    expect(covered.some(({ width, height }) => width > height)).toBe(true);
    expect(covered.some(({ size }) => size === 32)).toBe(true);
  });

  test('an input as large as the resized shorter side is cut in one direction only', () => {
    const image = thinImage(60_000, 2);
    const transforms = { inputSize: 224, resizeSize: 224, interpolation: 'bicubic' } as const;
    const square = fitEvaluation(image, transforms);
    expect([square.width, square.height]).toEqual([224, 224]);
    const box = { top: 0, left: 0, width: 60_000, height: 2 };
    const [width, height] = [6_720_000, 224];
    const window = { top: 0, left: (width - 224) / 2, width: 224, height: 224 };
    const { interpolation } = transforms;
    expect(square).toEqual(resample(image, { interpolation, box, width, height, window }));
  });

  test.each([
    [4000, 3000],
    [6000, 4000],
    [1, 1],
    [300, 2],
    [10, 2000],
  ])('%i x %i goes to the graph as it is', (width, height) => {
    const image = { data: new Uint8Array(0), width, height };
    const transforms = { inputSize: 224, resizeSize: 256, interpolation: 'bicubic' } as const;
    expect(fitEvaluation(image, transforms)).toBe(image);
    const box = { top: 0, left: 0, width, height };
    expect(fitTraining({ image, box }, transforms)).toEqual({ image, box });
  });
});

describe('training crops', () => {
  const cases = references.transforms.filter(({ box }) => box !== undefined);

  test.each(cases)(
    '$image $box for $size, $interpolation: exactly Pillow’s pixels',
    async (one) => {
      const [top = 0, left = 0, height = 0, width = 0] = one.box ?? [];
      const { data, info } = await sharp(transformFixture(one.image))
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      const { size, interpolation } = one;
      const window = { top: 0, left: 0, width: size, height: size };
      const box = { top, left, width, height };
      const image = { data, width: info.width, height: info.height };
      const found = resample(image, { interpolation, box, width: size, height: size, window });
      const expected = Buffer.from(one.levels, 'base64');
      const mirrored = one.flip ? mirror(found) : found;
      expect(sample(mirrored, size, 0).equals(expected)).toBe(true);
    },
  );

  test('a huge crop comes resized, with a box around all of it', () => {
    const [width, height] = [8000, 6000];
    const image = { data: new Uint8Array(width * height * 3).fill(77), width, height };
    const box = { top: 0, left: 0, width, height };
    const transforms = { inputSize: 32, interpolation: 'bicubic' } as const;
    const fitted = fitTraining({ image, box }, transforms);
    expect(fitted.box).toEqual({ top: 0, left: 0, width: 32, height: 32 });
    expect([fitted.image.width, fitted.image.height]).toEqual([32, 32]);
    expect(new Set(fitted.image.data)).toEqual(new Set([77]));
  });
});

function mirror({ data, width, height }: RgbImage): RgbImage {
  const result = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      result.set(data.subarray(from, from + 3), (y * width + width - 1 - x) * 3);
    }
  }
  return { data: result, width, height };
}
