import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { decodeImage } from '../../../src/platform/node/sharp-decoder.js';
import { DatasetError } from '../../../src/common/errors.js';
import { LoaderPool } from '../../../src/images/workers/worker-pool.js';
import type { DataLoader, LoaderOptions } from '../../../src/data/data-loader.js';
import { Philox, STREAM } from '../../../src/common/philox.js';
import { DEFAULT_CROP, randomFlip, randomResizedCropBox } from '../../../src/images/transforms.js';
import {
  Files,
  PATHS,
  PHOTOGRAPHS,
  artifacts,
  bytes,
  collect,
  failure,
  openLoader,
} from '../../support/loader-fixtures.js';
import {
  references,
  runGraphs,
  toCorners,
  toLevels,
  transformFixture,
} from '../../parity/pixel-fixtures.js';
import { FIXTURES } from '../../support/paths.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';

const pool = new LoaderPool({ images: nodePlatform.images, artifacts, workers: 2 });
afterAll(() => pool.close());
const loader = (options: Partial<LoaderOptions> = {}): DataLoader =>
  openLoader({ pool, ...options });

describe('batches', () => {
  test('the same to the bit with 1, 2 and 4 workers, in order, last one smaller', async () => {
    const epochs = [];
    for (const workers of [1, 2, 4]) {
      const one = openLoader({ workers });
      expect(one.batchCount).toBe(6);
      const first = await collect(one.epoch(0));
      const second = await collect(one.epoch(1));
      expect(first.map((batch) => batch.labels.length)).toEqual([4, 4, 4, 4, 4, 2]);
      expect(first.map((batch) => batch.images.length / (3 * 32 * 32))).toEqual([4, 4, 4, 4, 4, 2]);
      for (const { indices, labels } of first) {
        expect([...labels]).toEqual([...indices].map((index) => index % 3));
      }
      const seen = first.flatMap((batch) => [...batch.indices]);
      expect(seen.toSorted((a, b) => a - b)).toEqual(PATHS.map((_, index) => index));
      epochs.push([...bytes(first), ...bytes(second), seen.join()]);
      await one.close();
    }
    expect(epochs[1]).toEqual(epochs[0]);
    expect(epochs[2]).toEqual(epochs[0]);
  });

  test('another epoch and another seed crop the same image otherwise', async () => {
    const dataset = new Files(PATHS.slice(0, 1));
    const one = loader({ dataset });
    const other = loader({ dataset, seed: 8 });
    const batches = [
      ...bytes(await collect(one.epoch(0))),
      ...bytes(await collect(one.epoch(1))),
      ...bytes(await collect(other.epoch(0))),
    ];
    expect(new Set(batches).size).toBe(3);
  });

  test('an image’s crop does not depend on where in the epoch it comes', async () => {
    const one = loader({ batchSize: 1 });
    const shuffled = await collect(one.epoch(3));
    const straight = await collect(one.epoch(3, { shuffle: false }));
    expect(straight.map(({ indices }) => indices[0])).toEqual(PATHS.map((_, index) => index));
    for (const { indices, images } of shuffled) {
      expect(images).toEqual(straight[indices[0] ?? -1]?.images);
    }
  });

  test('startBatch goes on in the middle of an epoch', async () => {
    const one = loader();
    const whole = bytes(await collect(one.epoch(2)));
    expect(bytes(await collect(one.epoch(2, { startBatch: 4 })))).toEqual(whole.slice(4));
    expect(await collect(one.epoch(2, { startBatch: 6 }))).toEqual([]);
  });
});

describe('pixels', () => {
  const { preprocessing } = artifacts.manifest;

  test('evaluate: torchvision’s, without shuffling', async () => {
    const dataset = new Files(PHOTOGRAPHS.map(transformFixture));
    const [batch] = await collect(loader({ dataset, mode: 'evaluate' }).epoch(0));
    expect([...(batch?.indices ?? [])]).toEqual([0, 1, 2, 3]);
    for (const [index, name] of PHOTOGRAPHS.entries()) {
      const one = references.transforms.find((r) => r.image === name && r.size === 32 && !r.box);
      const pixels = batch?.images.subarray(index * 3072, (index + 1) * 3072);
      const found = toLevels(pixels ?? new Float32Array(), 32, 1, preprocessing);
      const expected = Buffer.from(one?.levels ?? '', 'base64');
      expect(found).toHaveLength(expected.length);
      expect(Math.max(...found.map((v, at) => Math.abs(v - (expected[at] ?? NaN))))).toBeLessThan(
        2.01,
      );
    }
  });

  test('train: the crop and the flip that (seed, epoch, index) give', async () => {
    const dataset = new Files(PHOTOGRAPHS.map(transformFixture));
    const [batch] = await collect(loader({ dataset, seed: 5 }).epoch(9, { shuffle: false }));
    const runs = [];
    for (const [index, image] of dataset.paths.entries()) {
      const { width, height } = await decodeImage(image);
      const random = new Philox(5, STREAM.crop, 9, index);
      const box = toCorners(randomResizedCropBox(width, height, DEFAULT_CROP, random));
      const flip = randomFlip(0.5, random);
      runs.push({ graph: artifacts.preprocessingGraphs.train, image, box, flip });
    }
    expect(new Set(runs.map(({ flip }) => flip)).size).toBe(2);
    for (const [index, expected] of (await runGraphs(runs)).entries()) {
      expect(batch?.images.slice(index * 3072, (index + 1) * 3072)).toEqual(expected);
    }
  });
});

describe('a custom data set', () => {
  test('bytes and promises are as good as paths', async () => {
    const expected = bytes(await collect(loader().epoch(0)));
    const replaced: Files['replaced'] = {};
    for (const [index, file] of PATHS.entries()) {
      replaced[index] = async () => ({ image: await readFile(file), label: index % 3 });
    }
    const found = bytes(await collect(loader({ dataset: new Files(PATHS, replaced) }).epoch(0)));
    expect(found).toEqual(expected);
  });

  test.each([3, -1, 0.5, NaN])('a label of %p is refused', async (label) => {
    const dataset = new Files(PATHS, { 2: () => ({ image: PATHS[2] ?? '', label }) });
    const error = await failure(collect(loader({ dataset }).epoch(0)));
    expect(error).toBeInstanceOf(DatasetError);
    expect(error.message).toContain(`expected a label from 0 to 2, got ${label} for sample 2`);
  });

  test('its own error comes through as it is', async () => {
    const thrown = new Error('database gone');
    const dataset = new Files(PATHS, { 2: () => Promise.reject(thrown) });
    expect(await failure(collect(loader({ dataset }).epoch(0)))).toBe(thrown);
  });
});

describe('unreadable images', () => {
  test('named in a DatasetError, after the batches before; the loader lives on', async () => {
    const missing = path.join(FIXTURES, 'missing.jpg');
    const dataset = new Files(PATHS.with(9, missing));
    const one = loader({ dataset });
    const seen: number[] = [];
    const error = await failure(
      (async () => {
        for await (const { indices } of one.epoch(0, { shuffle: false })) seen.push(...indices);
      })(),
    );
    expect(error).toBeInstanceOf(DatasetError);
    expect(error.message).toContain(`found no file: ${missing}`);
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const rest = await collect(one.epoch(0, { shuffle: false, startBatch: 3 }));
    expect(rest).toHaveLength(3);
  });

  test('bytes are named by their index', async () => {
    const broken = () => ({ image: Uint8Array.of(1, 2, 3), label: 0 });
    const dataset = new Files(PATHS, { 5: broken });
    const error = await failure(collect(loader({ dataset }).epoch(0)));
    expect(error).toBeInstanceOf(DatasetError);
    expect(error.message).toContain('sample 5 of the data set');
  });
});
