import { describe, expect, test } from '@jest/globals';
import { stepAhead } from '../../../src/train/step-ahead.js';

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

/** Chunks 1, 2, …, which may fail, and whether they were ended. */
class Chunks {
  ended = false;
  asked = 0;

  async *numbers(count: number, error?: Error): AsyncGenerator<number, void, undefined> {
    try {
      for (let number = 1; number <= count; number++) {
        this.asked = number;
        await pause();
        yield number;
      }
      if (error !== undefined) throw error;
    } finally {
      this.ended = true;
    }
  }
}

const double = async (chunk: number): Promise<number> => {
  await pause();
  return 2 * chunk;
};

describe('steps', () => {
  test('are taken in order, one per chunk', async () => {
    const found: number[][] = [];
    for await (const { chunk, results } of stepAhead(new Chunks().numbers(3), double)) {
      found.push([chunk, results]);
    }
    expect(found).toEqual([
      [1, 2],
      [2, 4],
      [3, 6],
    ]);
  });

  test('never overlap, nor meet the body of the loop; the next chunk is asked for meanwhile', async () => {
    const chunks = new Chunks();
    let busy = false;
    const asked: number[] = [];
    const step = async (chunk: number): Promise<number> => {
      expect(busy).toBe(false);
      busy = true;
      await pause();
      asked.push(chunks.asked);
      busy = false;
      return chunk;
    };
    for await (const { results } of stepAhead(chunks.numbers(3), step)) {
      expect(results).toBeGreaterThan(0);
      expect(busy).toBe(false);
      await pause();
      expect(busy).toBe(false);
    }
    expect(asked).toEqual([2, 3, 3]);
  });
});

describe('when something fails', () => {
  test('every step that was computed is seen before the error of the loader', async () => {
    const chunks = new Chunks();
    const seen: number[] = [];
    const attempt = (async (): Promise<void> => {
      const failing = chunks.numbers(2, new Error('unreadable image'));
      for await (const { chunk } of stepAhead(failing, double)) seen.push(chunk);
    })();
    await expect(attempt).rejects.toThrow('unreadable image');
    expect(seen).toEqual([1, 2]);
  });

  test("the step's error is thrown, not that of the loader at the same time", async () => {
    const chunks = new Chunks();
    const step = async (): Promise<never> => {
      await pause();
      await pause();
      throw new Error('out of memory');
    };
    const attempt = (async (): Promise<void> => {
      const failing = chunks.numbers(1, new Error('unreadable image'));
      for await (const { chunk } of stepAhead(failing, step)) expect(chunk).toBe('no step');
    })();
    await expect(attempt).rejects.toThrow('out of memory');
    expect(chunks.ended).toBe(true);
  });

  test('an error of the body ends the loader', async () => {
    const chunks = new Chunks();
    const attempt = (async (): Promise<void> => {
      for await (const { chunk } of stepAhead(chunks.numbers(9), double)) {
        throw new Error(`disk is full after ${chunk}`);
      }
    })();
    await expect(attempt).rejects.toThrow('disk is full');
    expect([chunks.ended, chunks.asked]).toEqual([true, 2]);
  });
});

test('leaving the loop ends the loader, without another step', async () => {
  const chunks = new Chunks();
  const steps: number[] = [];
  const step = (chunk: number): Promise<number> => {
    steps.push(chunk);
    return double(chunk);
  };
  for await (const { chunk } of stepAhead(chunks.numbers(9), step)) if (chunk === 2) break;
  expect([chunks.ended, chunks.asked]).toEqual([true, 3]);
  expect(steps).toEqual([1, 2]);
});
