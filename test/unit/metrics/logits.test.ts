import { expect, test } from '@jest/globals';
import { argmax, crossEntropy, softmax, topClasses } from '../../../src/metrics/logits.js';

test('argmax takes the first of equals, within its row', () => {
  const rows = Float32Array.of(9, 1, 5, 5, 2, 9);
  expect(argmax(rows, 1, 4)).toBe(1);
  expect(argmax(rows, 3, 2)).toBe(0);
});

test('cross entropy is that of torch.nn.functional.cross_entropy', () => {
  // F.cross_entropy(torch.tensor([[1., 2., 3.]]), torch.tensor([0])) = 2.4076059644443806
  expect(crossEntropy(Float32Array.of(7, 1, 2, 3), 1, 3, 0)).toBeCloseTo(2.4076059644443806, 12);
  expect(crossEntropy(Float32Array.of(1000, -1000), 0, 2, 1)).toBe(2000);
  expect(crossEntropy(Float32Array.of(1000, -1000), 0, 2, 0)).toBe(0);
});

test('softmax does not overflow and sums to 1', () => {
  const probabilities = softmax(Float32Array.of(7, 1000, 999, -1000), 1, 3);
  expect(probabilities[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
  expect(probabilities.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
});

test('the top classes come best first, the lower index on ties', () => {
  const found = topClasses(Float32Array.of(1, 3, 3, 0), 0, 4, 3);
  expect(found.map(({ label }) => label)).toEqual([1, 2, 0]);
});
