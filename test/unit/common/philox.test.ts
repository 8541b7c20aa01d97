import { describe, expect, test } from '@jest/globals';
import { Philox, STREAM, philox4x32 } from '../../../src/common/philox.js';

describe('Philox4x32-10', () => {
  // Random123's known answers (kat_vectors, philox4x32 10).
  test.each([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])('known answer $expected', ({ counter, key, expected }) => {
    const block = Uint32Array.from(counter);
    philox4x32(block, Uint32Array.from(key));
    expect([...block]).toEqual(expected);
  });

  test('the generator is the counter (block, index, epoch, stream) under the key (seed)', () => {
    const seed = 0x12345 * 2 ** 32 + 0xdeadbeef;
    const random = new Philox(seed, 3, 7, 11);
    for (const block of [0, 1, 2]) {
      const expected = Uint32Array.of(block, 11, 7, 3);
      philox4x32(expected, Uint32Array.of(0xdeadbeef, 0x12345));
      expect(Array.from({ length: 4 }, () => random.nextUint32())).toEqual([...expected]);
    }
  });

  test('every part of the place gives other numbers', () => {
    const places: [number, number, number, number][] = [
      [0, 0, 0, 0],
      [1, 0, 0, 0],
      [2 ** 32, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
      [0, 0, 0, 1],
    ];
    const firsts = places.map((place) => new Philox(...place).nextUint32());
    expect(new Set(firsts).size).toBe(places.length);
    expect(firsts).toEqual(places.map((place) => new Philox(...place).nextUint32()));
  });

  test('refuses what it would have to truncate', () => {
    expect(() => new Philox(-1, 0)).toThrow(RangeError);
    expect(() => new Philox(0.5, 0)).toThrow(RangeError);
    expect(() => new Philox(2 ** 53, 0)).toThrow(RangeError);
    expect(() => new Philox(0, STREAM.crop, 2 ** 32)).toThrow(RangeError);
    expect(() => new Philox(0, STREAM.crop, 0, -1)).toThrow(RangeError);
    expect(() => new Philox(0, 0).below(0)).toThrow(RangeError);
  });
});

describe('distributions', () => {
  const COUNT = 100_000;

  test('uniform: in [0, 1), flat over 100 bins (chi squared)', () => {
    const random = new Philox(5, STREAM.weights);
    const bins = new Uint32Array(100);
    let outside = 0;
    for (let i = 0; i < COUNT; i++) {
      const value = random.uniform();
      if (!(value >= 0 && value < 1)) outside++;
      const bin = Math.floor(value * 100);
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    expect(outside).toBe(0);
    const expected = COUNT / 100;
    const chiSquared = bins.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 99 degrees of freedom: 99.9 % of samples are between 57 and 155.
    expect(chiSquared).toBeGreaterThan(57);
    expect(chiSquared).toBeLessThan(155);
  });

  test('normal: moments', () => {
    const random = new Philox(6, STREAM.weights);
    const values = Float64Array.from({ length: COUNT }, () => random.normal());
    const moment = (power: number) =>
      values.reduce((sum, value) => sum + value ** power, 0) / COUNT;
    // Five standard errors of each moment, from the variance of its terms.
    const bound = (variance: number) => 5 * Math.sqrt(variance / COUNT);
    expect(Math.abs(moment(1))).toBeLessThan(bound(1));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(bound(2));
    expect(Math.abs(moment(3))).toBeLessThan(bound(15));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(bound(96));
  });

  test('below: every value, equally often, also where a remainder would be biased', () => {
    const random = new Philox(7, STREAM.shuffle);
    const counts = new Map<number, number>();
    for (let i = 0; i < 60_000; i++) {
      const value = random.below(6);
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    for (const count of counts.values()) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    // 3·2³⁰: a plain remainder would take the lowest third twice as often as the others.
    let lowest = 0;
    for (let i = 0; i < 30_000; i++) if (random.below(3 * 2 ** 30) < 2 ** 30) lowest++;
    expect(Math.abs(lowest - 10_000)).toBeLessThan(500);
  });
});
