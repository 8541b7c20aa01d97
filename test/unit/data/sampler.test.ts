import { describe, expect, test } from '@jest/globals';
import { batches, epochOrder } from '../../../src/data/sampler.js';

describe('epochOrder', () => {
  test('without shuffling: as they come', () => {
    expect([...epochOrder(5, { seed: 3, epoch: 2, shuffle: false })]).toEqual([0, 1, 2, 3, 4]);
  });

  test('shuffled: every index once, the same each time, another each epoch and seed', () => {
    const order = epochOrder(1000, { seed: 3, epoch: 2, shuffle: true });
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(order).toEqual(epochOrder(1000, { seed: 3, epoch: 2, shuffle: true }));
    expect(order).not.toEqual(epochOrder(1000, { seed: 3, epoch: 3, shuffle: true }));
    expect(order).not.toEqual(epochOrder(1000, { seed: 4, epoch: 2, shuffle: true }));
  });

  test('every permutation is equally likely', () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 12_000; epoch++) {
      const order = epochOrder(4, { seed: 0, epoch, shuffle: true }).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const chiSquared = [...counts.values()].reduce((sum, n) => sum + (n - 500) ** 2 / 500, 0);
    // 23 degrees of freedom: 99.9 % of samples are below 49.7.
    expect(chiSquared).toBeLessThan(49.7);
  });

  test('an empty set has an empty order', () => {
    expect(epochOrder(0, { seed: 0, epoch: 0, shuffle: true })).toHaveLength(0);
  });

  // A resumed run of a later version must see the images in the same order.
  test('the order is fixed', () => {
    expect([...epochOrder(10, { seed: 0, epoch: 0, shuffle: true })]).toEqual([
      0, 2, 6, 3, 5, 7, 9, 4, 8, 1,
    ]);
    expect([...epochOrder(10, { seed: 7, epoch: 3, shuffle: true })]).toEqual([
      8, 5, 1, 2, 7, 4, 6, 0, 9, 3,
    ]);
  });
});

describe('batches', () => {
  test('a smaller last batch is kept', () => {
    const cut = batches(Uint32Array.of(5, 3, 1, 4, 2), 2);
    expect(cut.map((batch) => [...batch])).toEqual([[5, 3], [1, 4], [2]]);
  });

  test('sizes that divide, exceed or empty the set', () => {
    expect(batches(new Uint32Array(8), 4).map((b) => b.length)).toEqual([4, 4]);
    expect(batches(new Uint32Array(3), 4).map((b) => b.length)).toEqual([3]);
    expect(batches(new Uint32Array(0), 4)).toEqual([]);
  });

  test.each([0, -1, 1.5, NaN])('a batch size of %p is refused', (size) => {
    expect(() => batches(new Uint32Array(3), size)).toThrow('at least 1');
  });
});
