import { describe, expect, test } from '@jest/globals';
import { AverageMeter } from '../../../src/metrics/average-meter.js';
import { targetRows } from '../../../src/train/loss-targets.js';
import { stepLr } from '../../../src/train/lr-schedule.js';

test('targets are one-hot rows that sum to 1 over the batch', () => {
  expect([...targetRows(Int32Array.of(1, 0), 3)]).toEqual([0, 0.5, 0, 0.5, 0, 0]);
});

describe('Meter', () => {
  test('weights batches by their images', () => {
    const meter = new AverageMeter();
    meter.add(1, Float32Array.of(0, 1, 0, 1, 0, 1), Int32Array.of(1, 1, 0), 2);
    meter.add(5, Float32Array.of(8, 8, 3, 2).subarray(2), Int32Array.of(0), 2);
    expect(meter.images).toBe(4);
    expect(meter.loss).toBe((3 * 1 + 5) / 4);
    expect(meter.accuracy).toBe(3 / 4);
  });
});

test("StepLR's rate is a function of the epoch", () => {
  const settings = { lr: 0.001, stepSize: 7, gamma: 0.1 };
  const rates = [0, 6, 7, 13, 14].map((epoch) => stepLr(epoch, settings));
  const expected = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5];
  rates.forEach((rate, i) => {
    expect(rate).toBeCloseTo(expected[i] ?? NaN, 15);
  });
});
