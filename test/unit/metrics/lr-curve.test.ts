/** The learning-rate range test's numbers. */

import { describe, expect, test } from '@jest/globals';
import { LrCurve, longestDescent, rangeOfRates } from '../../../src/metrics/lr-curve.js';

describe('rangeOfRates', () => {
  test('goes from the one to the other, each the same factor above the one before', () => {
    const rates = rangeOfRates(1e-5, 1, 11);
    expect(rates).toHaveLength(11);
    expect(rates[0]).toBe(1e-5);
    expect(rates[10]).toBeCloseTo(1, 12);
    for (let i = 1; i < 11; i++) {
      expect((rates[i] ?? 0) / (rates[i - 1] ?? 1)).toBeCloseTo(10 ** 0.5, 10);
    }
  });
});

describe('longestDescent', () => {
  test.each([
    ['a fall all the way', [5, 4, 3], { first: 0, last: 2 }],
    ['a fall between flat and rising parts', [5, 5, 5, 4, 3, 2, 6, 7], { first: 0, last: 5 }],
    ['a fall that noise interrupts', [9, 7, 8, 6, 6.5, 4, 10], { first: 0, last: 5 }],
    ['the longer of two', [3, 2, 9, 8, 7, 6, 20], { first: 2, last: 5 }],
    ['no fall', [1, 2, 3], { first: 0, last: 0 }],
    ['nothing', [], { first: 0, last: 0 }],
  ])('%s', (_name, values, expected) => {
    expect(longestDescent(values)).toEqual(expected);
  });
});

/** Losses of a made-up network: flat at first, falling from 1e-4 on, running away above 0.1. */
function curveOf(loss: (lr: number, step: number) => number, steps = 200): LrCurve {
  const curve = new LrCurve();
  for (const [step, lr] of rangeOfRates(1e-6, 1, steps).entries()) {
    if (!curve.add(lr, loss(lr, step))) break;
  }
  return curve;
}

describe('LrCurve', () => {
  test('smooths as an exponential moving average without the zero it starts from', () => {
    const curve = new LrCurve();
    for (const loss of [2, 1, 4]) curve.add(0.1, loss);
    const weights = [0.02 * 0.98 ** 2, 0.02 * 0.98, 0.02];
    const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
    const [a = 0, b = 0, c = 0] = weights;
    expect(curve.points[0]?.smoothed).toBeCloseTo(2, 12);
    expect(curve.points[2]?.smoothed).toBeCloseTo((2 * a + b + 4 * c) / sum(weights), 12);
  });

  test('suggests a rate inside the descent, below that of the least loss', () => {
    const curve = curveOf((lr, step) => {
      const noise = 0.02 * Math.sin(step * 7.3);
      if (lr > 0.1) return 1 + 60 * lr + noise;
      return 2 - Math.max(0, 0.5 * Math.log10(lr / 1e-4)) + noise;
    });
    const found = curve.suggest();
    expect(found?.lr).toBeGreaterThan(1e-4);
    expect(found?.lr).toBeLessThan(0.1);
    expect(found?.lowest).toBeGreaterThan(found?.lr ?? 1);
  });

  test('ends where the smoothed loss is four times its least', () => {
    const curve = curveOf((lr) => (lr < 0.01 ? 1 : 1000));
    const last = curve.points.at(-1);
    expect(curve.points.length).toBeLessThan(200);
    expect(last?.smoothed).toBeGreaterThan(4);
    expect(curve.points.at(-2)?.smoothed).toBeLessThanOrEqual(4);
  });

  test.each([NaN, Infinity])('ends before a loss of %p, which is no point of the curve', (loss) => {
    const curve = new LrCurve();
    expect(curve.add(0.1, 1)).toBe(true);
    expect(curve.add(0.2, loss)).toBe(false);
    expect(curve.points).toHaveLength(1);
  });

  test.each([
    ['stays', () => 1],
    ['rises', (lr: number) => 1 + lr],
    ['falls by less than 2 %', (lr: number) => 1 - 0.01 * lr],
  ])('suggests nothing where the loss %s', (_name, loss) => {
    expect(curveOf(loss).suggest()).toBeNull();
  });

  test('suggests nothing before the first step', () => {
    expect(new LrCurve().suggest()).toBeNull();
  });
});
