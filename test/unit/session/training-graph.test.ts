import { expect, test } from '@jest/globals';
import { stepsPerExecution } from '../../../src/session/training-graph.js';

test('a call holds two steps, or one of 32 images', () => {
  expect([1, 4, 5, 16, 32, 64].map((size) => stepsPerExecution(size))).toEqual([2, 2, 2, 2, 1, 1]);
});

test('on CUDA, where a call moves the state, it holds up to 128 steps', () => {
  const steps = [1, 4, 16, 64, 2000].map((size) => stepsPerExecution(size, 'trainCuda'));
  expect(steps).toEqual([128, 128, 96, 24, 1]);
  expect(stepsPerExecution(4, 'trainWebgpu')).toBe(2);
  // A frozen backbone sees all images of a call at once, which a GPU's memory must hold.
  expect(stepsPerExecution(4, 'trainHead')).toBe(2);
});
