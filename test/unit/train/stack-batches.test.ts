import { expect, test } from '@jest/globals';
import { stack, stackBatches } from '../../../src/train/stack-batches.js';
import { batch, loaderOf, SETTINGS, stream } from '../../support/epoch-parts.js';

const RATES = { lr: 0.1, headLr: 0.1 };
const { recycle } = loaderOf(stream());
const OPTIONS = { classes: 2, settings: SETTINGS, recycle };

test('batches are stacked up to the count, and never with one of another size', async () => {
  const sizes: number[][] = [];
  const options = { ...OPTIONS, maxSteps: 3, rates: () => RATES };
  for await (const { stacked, steps } of stackBatches(stream(4, 4, 4, 4, 4, 2), options)) {
    expect([stacked.steps, stacked.batchSize]).toEqual([steps.length, steps[0]?.labels.length]);
    sizes.push(steps.map(({ labels }) => labels.length));
  }
  expect(sizes).toEqual([[4, 4, 4], [4, 4], [2]]);
});

test('a chunk ends where it is asked to, full chunks before it or not', async () => {
  const counts: number[] = [];
  const endsAfter = (seen: number): boolean => seen % 3 === 0;
  const options = { ...OPTIONS, maxSteps: 2, rates: () => RATES, endsAfter };
  for await (const { steps } of stackBatches(stream(4, 4, 4, 4, 4, 4, 4), options)) {
    counts.push(steps.length);
  }
  expect(counts).toEqual([2, 1, 2, 1, 1]);
});

test('a chunk puts batches one after the other and gives their buffers back', () => {
  const loader = loaderOf(stream());
  const options = { ...OPTIONS, recycle: loader.recycle };
  const { stacked, steps } = stack([batch(0, 2), batch(2, 2)], [RATES, RATES], options);
  expect([stacked.steps, stacked.batchSize]).toEqual([2, 2]);
  expect([...stacked.images]).toEqual([0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2]);
  expect([...stacked.targets]).toEqual([0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5]);
  expect([...stacked.lr]).toEqual([...Float32Array.of(0.1, 0.1)]);
  expect(stacked.headLr).toEqual(stacked.lr);
  expect(steps.map(({ indices }) => [...indices])).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(loader.recycled).toEqual([6, 6]);
});

test('each batch has the rates of its own step', async () => {
  const found: number[][] = [];
  const rates = (step: number): typeof RATES => ({ lr: step, headLr: 2 * step });
  for await (const { stacked } of stackBatches(stream(4, 4, 4, 2), {
    ...OPTIONS,
    maxSteps: 2,
    rates,
  })) {
    found.push([...stacked.lr, ...stacked.headLr]);
  }
  expect(found).toEqual([
    [0, 1, 0, 2],
    [2, 4],
    [3, 6],
  ]);
});

test('leaving the loop ends the loader', async () => {
  let ended = false;
  async function* endless(): ReturnType<typeof stream> {
    try {
      for (;;) yield* stream(4);
    } finally {
      ended = true;
    }
  }
  const options = { ...OPTIONS, maxSteps: 2, rates: () => RATES };
  for await (const { steps } of stackBatches(endless(), options)) {
    expect(steps).toHaveLength(2);
    break;
  }
  expect(ended).toBe(true);
});
