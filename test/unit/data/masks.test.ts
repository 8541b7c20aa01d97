/** Tests the masks of Dropout and stochastic depth: values, distribution, independence, and who draws them. */

import { describe, expect, test } from '@jest/globals';
import type { MasksSpec } from '../../../src/artifacts/manifest.js';
import { Philox, STREAM } from '../../../src/common/philox.js';
import { drawMasks } from '../../../src/data/masks.js';

const part = 'backbone';
const SPEC: MasksSpec = {
  width: 600,
  entries: [
    { name: 'block', offset: 0, width: 1, p: 0.2, kind: 'stochastic_depth', part },
    { name: 'none', offset: 1, width: 99, p: 0, kind: 'dropout', part },
    { name: 'half', offset: 100, width: 250, p: 0.5, kind: 'dropout', part },
    { name: 'fifth', offset: 350, width: 250, p: 0.2, kind: 'dropout', part: 'head' },
  ],
};

function draw(images: number, epoch = 0, seed = 0, first = 0): Float32Array {
  const indices = Uint32Array.from({ length: images }, (_, i) => first + i);
  return drawMasks(SPEC, { seed, epoch, indices });
}

/** Returns the values of an entry's columns, over all images. */
function values(
  masks: Float32Array,
  { offset, width }: { offset: number; width: number },
): number[] {
  return [...masks].filter((_, i) => i % SPEC.width >= offset && i % SPEC.width < offset + width);
}

const mean = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;

/** Correlation of two lists of equal length. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  const covariance = mean(a.map((value, i) => (value - meanA) * ((b[i] ?? NaN) - meanB)));
  const deviation = (all: readonly number[], centre: number): number =>
    Math.sqrt(mean(all.map((value) => (value - centre) ** 2)));
  return covariance / (deviation(a, meanA) * deviation(b, meanB));
}

describe('distribution', () => {
  const masks = draw(400);

  test.each(SPEC.entries)("$name: PyTorch's values, mean 1 and variance p / (1 - p)", (entry) => {
    const found = values(masks, entry);
    const { p } = entry;
    const kept = Math.fround(1 / (1 - p));
    expect([...new Set(found)].sort()).toEqual(p === 0 ? [1] : [0, kept]);
    const variance = p / (1 - p);
    // Four standard errors of the mean; those of the variance, of two values, from its fourth moment.
    const error = Math.sqrt(variance / found.length);
    expect(Math.abs(mean(found) - 1)).toBeLessThanOrEqual(4 * error);
    const squares = found.map((value) => (value - 1) ** 2);
    const spread = Math.sqrt(mean(squares.map((value) => (value - variance) ** 2)) / found.length);
    expect(Math.abs(mean(squares) - variance)).toBeLessThanOrEqual(4 * spread + 1e-6);
  });

  test.each<[string, Float32Array, Float32Array]>([
    ['images', draw(200), draw(200, 0, 0, 200)],
    ['epochs', draw(200), draw(200, 1)],
    ['seeds', draw(200), draw(200, 0, 1)],
  ])('%s are independent', (_, a, b) => {
    for (const entry of SPEC.entries.slice(2)) {
      const [first, second] = [values(a, entry), values(b, entry)];
      // The correlation of n independent pairs has the standard error 1 / sqrt(n).
      expect(Math.abs(correlation(first, second))).toBeLessThan(4 / Math.sqrt(first.length));
    }
  });

  test('columns and entries are independent', () => {
    const [half, fifth] = [SPEC.entries[2], SPEC.entries[3]].map((entry) =>
      values(masks, entry ?? { offset: 0, width: 0 }),
    );
    const limit = 4 / Math.sqrt(half?.length ?? 0);
    expect(Math.abs(correlation(half ?? [], fifth ?? []))).toBeLessThan(limit);
    const neighbours = half?.slice(1) ?? [];
    expect(Math.abs(correlation(half?.slice(0, -1) ?? [], neighbours))).toBeLessThan(limit);
  });
});

test("an image's row is the same in every batch, on every rank", () => {
  const whole = draw(8, 3, 9);
  for (const indices of [[5], [7, 5], [2, 3, 5]]) {
    const part = drawMasks(SPEC, { seed: 9, epoch: 3, indices: Uint32Array.from(indices) });
    const at = indices.indexOf(5) * SPEC.width;
    expect(part.subarray(at, at + SPEC.width)).toEqual(
      whole.subarray(5 * SPEC.width, 6 * SPEC.width),
    );
  }
});

test('column c is draw c of the stream, compared with p', () => {
  const [masks, random] = [draw(1, 2, 4, 6), new Philox(4, STREAM.masks, 2, 6)];
  const draws = Array.from({ length: SPEC.width }, () => random.nextUint32() / 2 ** 32);
  for (const { offset, width, p } of SPEC.entries) {
    const expected = draws.slice(offset, offset + width).map((u) => (u < p ? 0 : 1 / (1 - p)));
    expect(masks.subarray(offset, offset + width)).toEqual(Float32Array.from(expected));
  }
});

test('the masks that scripts/reference/philox.py draws', () => {
  const entry = { name: '', kind: 'dropout', part } as const;
  const entries = [
    { ...entry, offset: 0, width: 1, p: 0.75 },
    { ...entry, offset: 1, width: 3, p: 0 },
    { ...entry, offset: 4, width: 8, p: 0.5 },
  ];
  const batch = { seed: 4, epoch: 2, indices: Uint32Array.of(6, 0) };
  const expected = [
    [0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 2, 2],
    [0, 1, 1, 1, 2, 0, 0, 0, 2, 2, 0, 0],
  ];
  expect([...drawMasks({ width: 12, entries }, batch)]).toEqual(expected.flat());
});
