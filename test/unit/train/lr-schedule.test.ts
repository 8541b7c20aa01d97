import { describe, expect, test } from '@jest/globals';
import { learningRates, type LrSettings, type Schedule } from '../../../src/train/lr-schedule.js';

const SETTINGS: LrSettings = {
  lr: 0.1,
  headLr: 0,
  schedule: 'step',
  warmupEpochs: 2,
  stepSize: 3,
  gamma: 0.1,
  epochs: 12,
};
const STEPS = 7;

/** Rates by epoch, as they were computed when the learning rate was a function of the epoch. */
function byEpoch(base: number, epoch: number, settings: LrSettings): number {
  const { schedule, warmupEpochs, epochs, gamma, stepSize } = settings;
  if (epoch < warmupEpochs) return base * (1 / 3 + (1 - 1 / 3) * (epoch / warmupEpochs));
  const after = epoch - warmupEpochs;
  if (schedule === 'step') return base * gamma ** Math.floor(after / stepSize);
  if (schedule === 'constant') return base;
  return (base * (1 + Math.cos((Math.PI * after) / (epochs - warmupEpochs)))) / 2;
}

describe.each(['step', 'cosine', 'constant'] as const)('schedule %s', (schedule) => {
  test.each([0, 2])(
    'has the rate of the epoch at each of its steps; warm-up %i',
    (warmupEpochs) => {
      for (const headLr of [0, 0.7]) {
        const settings = { ...SETTINGS, schedule, warmupEpochs, headLr };
        for (let step = 0; step < 12 * STEPS; step++) {
          const epoch = Math.floor(step / STEPS);
          expect(learningRates(step, STEPS, settings)).toEqual({
            lr: byEpoch(0.1, epoch, settings),
            headLr: byEpoch(headLr || 0.1, epoch, settings),
          });
        }
      }
    },
  );
});

test('a schedule may depend on the step, counted from the end of the warm-up', () => {
  const schedule: Schedule = (base, { step, stepsPerEpoch }, { epochs, warmupEpochs }) =>
    base * (1 - step / ((epochs - warmupEpochs) * stepsPerEpoch));
  const settings = { ...SETTINGS, schedule };
  const rates = [0, 13, 14, 15, 49, 83].map((step) => learningRates(step, STEPS, settings).lr);
  const expected = [0.1 / 3, 0.1 * (2 / 3), 0.1, 0.1 * (69 / 70), 0.05, 0.1 * (1 / 70)];
  rates.forEach((rate, i) => {
    expect(rate).toBeCloseTo(expected[i] ?? NaN, 12);
  });
});
