/** Holds: the check of an image does what the run does. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { InspectionCache } from '../../../src/data/inspection-cache.js';
import { unreadableImage } from '../../../src/images/decode.js';
import { inspectImage } from '../../../src/images/inspect-image.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';
import type { ExifUse, ImageDecoder } from '../../../src/platform/platform.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'inspect-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

/** Decodes as Node's decoder does, without the memory that it takes to turn an image. */
const decoder: ImageDecoder = {
  decode: (image, name, exif) =>
    exif === 'apply'
      ? Promise.reject(unreadableImage(name ?? '', new Error('more pixels than can be turned')))
      : nodePlatform.images.decode(image, name, exif),
};

test.each<[ExifUse, string | null]>([
  ['ignore', null],
  ['apply', 'more pixels than can be turned'],
])('an image that cannot be turned, with exif %s', async (exif, problem) => {
  const file = path.join(dir, 'photo.jpg');
  const raw = { width: 4, height: 2, channels: 3 } as const;
  const photo = sharp({ create: { ...raw, background: 'red' } });
  await photo.withMetadata({ orientation: 6 }).jpeg().toFile(file);
  const found = await inspectImage(file, { ...nodePlatform, decoder }, exif);
  expect(found.problem).toBe(problem);
});

test('the result of a check with one use of EXIF is not taken for the other', async () => {
  const [file, stamp] = [path.join(dir, 'photo.jpg'), { size: 1n, mtimeNs: 1n, ctimeNs: 1n }];
  const good = { sha256: 'a', problem: null, orientation: 6, blank: null };
  const open = (exif: ExifUse): Promise<InspectionCache> =>
    InspectionCache.open(dir, exif, path.join(dir, 'cache'));
  const stored = await open('ignore');
  stored.set(file, stamp, good);
  await stored.save([file]);
  expect((await open('ignore')).get(file, stamp)).toEqual(good);
  expect((await open('apply')).get(file, stamp)).toBeNull();
});

test.each(['size', 'mtimeNs', 'ctimeNs'])(
  'an image whose %s changed is checked again',
  async (key) => {
    const [file, stamp] = [path.join(dir, 'photo.jpg'), { size: 1n, mtimeNs: 1n, ctimeNs: 1n }];
    const cache = await InspectionCache.open(dir, 'ignore', path.join(dir, 'cache-of-stamps'));
    const good = { sha256: 'a', problem: null, orientation: null, blank: null };
    cache.set(file, stamp, good);
    expect(cache.get(file, stamp)).toEqual(good);
    expect(cache.get(file, { ...stamp, [key]: 2n })).toBeNull();
  },
);
