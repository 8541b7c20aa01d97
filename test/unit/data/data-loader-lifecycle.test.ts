import { execFile } from 'node:child_process';
import { afterAll, describe, expect, jest, test } from '@jest/globals';
import type { Sample } from '../../../src/data/dataset.js';
import { ConfigError } from '../../../src/common/errors.js';
import { LoaderPool } from '../../../src/images/workers/worker-pool.js';
import type { DataLoader, LoaderOptions } from '../../../src/data/data-loader.js';
import {
  Files,
  PATHS,
  artifacts,
  bytes,
  collect,
  failure,
  openLoader,
} from '../../support/loader-fixtures.js';
import { testProgram } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

const pool = new LoaderPool({ images: nodePlatform.images, artifacts, workers: 2 });
afterAll(() => pool.close());
const loader = (options: Partial<LoaderOptions> = {}): DataLoader =>
  openLoader({ pool, ...options });

describe('prefetching', () => {
  test('is bounded, starts with the first batch asked for, and stops when the loop is left', async () => {
    const dataset = new Files();
    const one = loader({ dataset, batchSize: 1, prefetch: 3 });
    const batches = one.epoch(0);
    expect(dataset.reads).toBe(0);
    await batches.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(dataset.reads).toBe(3);
    await batches.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(dataset.reads).toBe(4);
    await batches.return();
    expect(await batches.next()).toEqual({ done: true, value: undefined });
    expect(dataset.reads).toBe(4);
  });

  test('leaving the loop ends the reading of a slow data set', async () => {
    const slow: Files['replaced'] = {};
    for (let index = 4; index < PATHS.length; index++) {
      slow[index] = async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return { image: PATHS[0] ?? '', label: 0 };
      };
    }
    const dataset = new Files(PATHS, slow);
    const batches = loader({ dataset, prefetch: 4 }).epoch(0, { shuffle: false });
    await batches.next();
    await batches.return();
    const { reads } = dataset;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(dataset.reads).toBe(reads);
  });

  test('leaving the loop takes back what no worker has begun', async () => {
    const owner = {};
    const items = PATHS.slice(0, 1).map((image, index) => ({ image, index, name: image }));
    const buffers = Array.from({ length: 30 }, () => new ArrayBuffer(3 * 32 * 32 * 4));
    const tasks = buffers.map((buffer) =>
      pool.run({ mode: 'train', seed: 0, epoch: 0, items, buffer }, owner),
    );
    pool.cancel(owner);
    const results = await Promise.allSettled(tasks);
    // Two for each of the two workers were on their way; the others' memory was never given away.
    const begun = buffers.map((_, index) => index < 4);
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual(begun);
    expect(buffers.map(({ byteLength }) => byteLength === 0)).toEqual(begun);

    const cancel = jest.spyOn(pool, 'cancel');
    for await (const { indices } of loader().epoch(0)) if (indices.length > 0) break;
    expect(cancel).toHaveBeenCalledTimes(1);
    cancel.mockRestore();
  });

  test('leaving early again and again loses nothing', async () => {
    const one = loader({ batchSize: 1 });
    const expected = bytes(await collect(one.epoch(0)));
    for (let round = 0; round < 5; round++) {
      for await (const batch of one.epoch(round)) {
        one.recycle(batch.images);
        break;
      }
    }
    expect(bytes(await collect(one.epoch(0)))).toEqual(expected);
  });

  test('two epochs at once do not disturb each other', async () => {
    const one = loader();
    const [a, b] = await Promise.all([collect(one.epoch(0)), collect(one.epoch(1))]);
    expect(bytes(a)).toEqual(bytes(await collect(one.epoch(0))));
    expect(bytes(b)).toEqual(bytes(await collect(one.epoch(1))));
  });

  test('recycled memory is used again and holds the right pixels', async () => {
    const one = loader({ prefetch: 1 });
    const expected = bytes(await collect(one.epoch(0)));
    const kept: Float32Array[] = [];
    const found: string[] = [];
    for await (const batch of one.epoch(0)) {
      found.push(...bytes([batch]));
      kept.push(batch.images);
      one.recycle(batch.images);
      one.recycle(batch.images);
    }
    expect(found).toEqual(expected);
    // Given to a worker: no longer here. The last full one and the smaller one stayed.
    expect(kept.map(({ length }) => length === 0)).toEqual([true, true, true, true, false, false]);
  });

  test('the wait for a slow data set is measured', async () => {
    const slow = async (): Promise<Sample> => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      return { image: PATHS[0] ?? '', label: 0 };
    };
    const one = loader({ dataset: new Files(PATHS.slice(0, 2), { 0: slow, 1: slow }) });
    await collect(one.epoch(0));
    expect(one.waitSeconds).toBeGreaterThan(0.1);
    expect(one.waitSeconds).toBeLessThan(10);
  });
});

describe('closing', () => {
  test('while busy: the one who waits gets an error, and nothing runs any more', async () => {
    const one = openLoader({ batchSize: 1, workers: 2 });
    const batches = one.epoch(0);
    const pending = failure(batches.next());
    await new Promise((resolve) => setTimeout(resolve, 20));
    await one.close();
    await one.close();
    const error = await pending;
    // The first batch may have been ready.
    expect(['the loader is closed', 'nothing was thrown']).toContain(error.message);
    expect((await failure(collect(one.epoch(1)))).message).toBe('the loader is closed');
  });

  test('loaders that share a pool leave it open', async () => {
    const train = loader({ pool });
    const evaluate = loader({ pool, mode: 'evaluate' });
    const expected = bytes(await collect(evaluate.epoch(0)));
    const both = await Promise.all([collect(train.epoch(0)), collect(evaluate.epoch(0))]);
    expect(bytes(both[1])).toEqual(expected);
    await train.close();
    expect(bytes(await collect(evaluate.epoch(0)))).toEqual(expected);
  });

  test.each([
    ['batchSize', { batchSize: 0 }],
    ['workers', { workers: 0 }],
    ['workers', { workers: 1.5 }],
    ['prefetch', { prefetch: 0 }],
  ])('bad %s is refused', (_, options) => {
    expect(() => openLoader(options)).toThrow(ConfigError);
  });
});

describe('the process ends', () => {
  const script = testProgram('support/loader-exit');
  test.each([
    'closed while busy',
    'closed when done',
    'never closed',
    'left early and never closed',
    'failed and never closed',
  ])('%s: by itself, with exit code 0', async (how) => {
    const code = await new Promise((resolve) => {
      execFile(process.execPath, [script, how], { timeout: 20_000 }, (error) => {
        resolve(error ? (error.code ?? error.signal) : 0);
      });
    });
    expect(code).toBe(0);
  });
});
