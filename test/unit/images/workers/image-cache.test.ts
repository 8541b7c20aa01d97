import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeImage } from '../../../../src/platform/node/sharp-decoder.js';
import { InterruptedError } from '../../../../src/common/errors.js';
import { train, type TrainOptions } from '../../../../src/index.js';
import { LoaderPool } from '../../../../src/images/workers/worker-pool.js';
import type { DataLoader, LoaderOptions } from '../../../../src/data/data-loader.js';
import { ImageCache } from '../../../../src/images/workers/image-cache.js';
import {
  Files,
  PATHS,
  artifacts,
  bytes,
  collect,
  openLoader,
} from '../../../support/loader-fixtures.js';
import { makeData, outcome } from '../../../support/run-process.js';
import { TINY } from '../../../support/paths.js';
import { nodePlatform } from '../../../../src/platform/node/node-platform.js';

const pool = new LoaderPool({ images: nodePlatform.images, artifacts, workers: 2 });
const loader = (options: Partial<LoaderOptions>): DataLoader => openLoader({ pool, ...options });
let dir: string;
let decodedBytes = 0;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pixel-cache-test-'));
  process.env.ORT_FINETUNE_CACHE = path.join(dir, 'cache');
  for (const file of PATHS) decodedBytes += (await decodeImage(file)).data.byteLength;
});
afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true });
});

/** Copies of the images, which may be deleted. */
async function copies(): Promise<string[]> {
  const folder = await mkdtemp(path.join(dir, 'copies-'));
  const files = PATHS.map((file, i) => path.join(folder, `${i}${path.extname(file)}`));
  for (const [i, file] of files.entries()) await copyFile(PATHS[i] ?? '', file);
  return files;
}

describe('decoded images that are kept', () => {
  test('later epochs, and other loaders, read no file and have the same pixels to the bit', async () => {
    const files = await copies();
    const cache = new ImageCache(decodedBytes);
    const [cached, plain] = [loader({ dataset: new Files(files), cache }), loader({})];
    expect(bytes(await collect(cached.epoch(0)))).toEqual(bytes(await collect(plain.epoch(0))));
    expect(cache.bytes).toBe(decodedBytes);
    expect(cache.isFull).toBe(false);
    for (const file of files) await rm(file);
    expect(bytes(await collect(cached.epoch(1)))).toEqual(bytes(await collect(plain.epoch(1))));
    const mode = 'evaluate';
    const other = loader({ dataset: new Files(files), cache, mode });
    expect(bytes(await collect(other.epoch(0)))).toEqual(
      bytes(await collect(loader({ mode }).epoch(0))),
    );
  });

  test('are bounded in bytes; what does not fit is decoded again', async () => {
    const cache = new ImageCache(Math.floor(decodedBytes / 2));
    const one = loader({ dataset: new Files(await copies()), cache });
    for (const epoch of [0, 1, 2]) {
      expect(bytes(await collect(one.epoch(epoch)))).toEqual(
        bytes(await collect(loader({}).epoch(epoch))),
      );
      expect(cache.isFull).toBe(true);
      expect(cache.bytes).toBeGreaterThan(0);
      expect(cache.bytes).toBeLessThanOrEqual(cache.limit);
    }
  });

  test('are those of files: bytes in code may be others each time', async () => {
    const encoded = await readFile(PATHS[0] ?? '');
    const cache = new ImageCache(decodedBytes);
    const dataset = new Files(PATHS.slice(0, 1), { 0: () => ({ image: encoded, label: 0 }) });
    await collect(loader({ dataset, cache }).epoch(0));
    expect(cache.bytes).toBe(0);
  });
});

test('a run with them ends with the same bits, resumed or not', async () => {
  const data = await makeData(path.join(dir, 'data'), 6, 3);
  const settings = (name: string, more: Partial<TrainOptions> = {}): TrainOptions => ({
    ...{ data, artifacts: TINY, out: path.join(dir, name), weights: 'random', device: 'cpu' },
    ...{ threads: 1, workers: 2, epochs: 3, batchSize: 4, lr: 0.02 },
    ...more,
  });
  const plain = await outcome((await train(settings('plain'))).runDir);
  const cached = await outcome((await train(settings('cached', { cache: 'ram' }))).runDir);
  expect(cached).toEqual(plain);

  const stop = new AbortController();
  const interrupted = train(
    settings('resumed', {
      cache: 'ram',
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.epoch === 2) stop.abort();
      },
    }),
  );
  await expect(interrupted).rejects.toBeInstanceOf(InterruptedError);
  const { runDir } = await train({ resume: path.join(dir, 'resumed'), cache: 'none' });
  expect(await outcome(runDir)).toEqual(plain);
});
