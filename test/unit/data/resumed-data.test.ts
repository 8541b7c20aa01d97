/** Holds: inputs are used, refused or named. A run that an earlier version began goes on with its own images. */

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { TrainEvent } from '../../../src/common/events.js';
import type { DataFile, Dataset } from '../../../src/data/dataset.js';
import { dataFingerprint } from '../../../src/data/fingerprint.js';
import type { RunData } from '../../../src/data/open-datasets.js';
import { openRunData } from '../../../src/data/resumed-data.js';
import { LoaderPool, openArtifacts } from '../../../src/internal.js';
import { nodePlatform } from '../../../src/platform/node/node-platform.js';
import { writeTree } from '../../support/file-tree.js';
import { TINY } from '../../support/paths.js';
import { coloured } from '../../support/tiny-network.js';

let top: string;
let pool: LoaderPool;
let events: TrainEvent[];
let count = 0;
beforeAll(async () => {
  top = await mkdtemp(path.join(tmpdir(), 'resumed-'));
  process.env.ORT_FINETUNE_CACHE = path.join(top, 'cache');
  const { images } = nodePlatform;
  pool = new LoaderPool({ images, artifacts: await openArtifacts(TINY), workers: 1 });
});
afterAll(async () => {
  delete process.env.ORT_FINETUNE_CACHE;
  await pool.close();
  await rm(top, { recursive: true });
});
beforeEach(() => {
  events = [];
});

/** Writes images of these names, each another one. */
async function images(...names: string[]): Promise<string> {
  const files: Record<string, Uint8Array> = {};
  for (const [i, name] of names.entries()) {
    const png = await coloured(i % 3, 100 * count + i, 16);
    files[name] = name.endsWith('.gif') ? await sharp(png).gif().toBuffer() : png;
  }
  return writeTree(path.join(top, String(count++)), files);
}

function opened(data: string, fingerprint: string | null): Promise<RunData> {
  const options = { valFraction: 0.5, onBadImage: 'stop', classWeights: 'none' } as const;
  const emit = (event: TrainEvent): void => void events.push(event);
  return openRunData({ ...options, exif: 'ignore', data }, fingerprint, pool, emit);
}

/** Fingerprint of a run on just these images: paths below `train` and `val`, and where they lie below the data folder. */
async function fingerprintOf(
  data: string,
  classes: readonly string[],
  names: readonly (readonly [name: string, at: string])[],
): Promise<string> {
  const files: DataFile[] = [];
  for (const [name, at] of names) {
    const bytes = await readFile(path.join(data, at));
    files.push({ name, sha256: createHash('sha256').update(bytes).digest('hex') });
  }
  const set = (split: string): Dataset => ({
    classes,
    length: names.filter(([name]) => name.startsWith(`${split}/`)).length,
    get: () => ({ image: '', label: 0 }),
  });
  return dataFingerprint({ train: set('train'), val: set('val'), files, classWeights: undefined });
}

const BASE = ['train/a/1.png', 'train/b/1.png', 'val/a/1.png', 'val/b/1.png'];
const same = (names: readonly string[]): [string, string][] => names.map((name) => [name, name]);
const told = (): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

test('data that both versions read alike needs no second look', async () => {
  const data = await images(...BASE);
  const fingerprint = await fingerprintOf(data, ['a', 'b'], same(BASE));
  expect((await opened(data, fingerprint)).fingerprint).toBe(fingerprint);
  expect((await opened(data, null)).fingerprint).toBe(fingerprint);
  expect(told()).toEqual([]);
});

test.each<[string, string[], string[]]>([
  ['images of other extensions', ['train/a/2.gif', 'train/a/none'], []],
  ['hidden images in a class', [], ['train/a/._0.png', 'train/a/.ipynb_checkpoints/2.png']],
  ['leftovers', ['train/a/2.png~'], ['train/a/@eaDir/1.png']],
  ['a second folder for validation', ['valid/a/1.png', 'valid/b/1.png'], []],
  ['a class that is a leftover', [], ['train/lost+found/1.png', 'val/lost+found/1.png']],
])('%s: the run goes on with its own images, and that is said', async (_, not, but) => {
  const data = await images(...BASE, ...not, ...but);
  // Torchvision's order: by folder, then by name.
  const key = (name: string): string => `${path.dirname(name)}\0${name}`;
  const names = [...BASE, ...but].sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const classes = [...new Set(names.map((name) => name.split('/')[1] ?? ''))].sort();
  const fingerprint = await fingerprintOf(data, classes, same(names));
  expect((await opened(data, fingerprint)).fingerprint).toBe(fingerprint);
  expect(told().filter((message) => message.includes('the run goes on with'))).toHaveLength(1);
  expect(events.filter((event) => event.type === 'checked')).toHaveLength(1);
  const anew = await opened(data, null).then(
    (run) => run.fingerprint,
    () => 'refused',
  );
  expect(anew).not.toBe(fingerprint);
});

test('a run that split train although valid was there goes on so', async () => {
  const own = ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png'];
  const splits = [...own.map((name) => `train/${name}`), 'valid/a/1.png', 'valid/b/1.png'];
  const data = await images(...splits);
  // The hashes of the names decide which image of a class is for validation.
  const alone = await images(...own.map((name) => `train/${name}`));
  const { files } = await opened(alone, null);
  const names = files.map(({ name }): [string, string] => [name, name.replace(/^val/, 'train')]);
  const fingerprint = await fingerprintOf(data, ['a', 'b'], names);
  const found = await opened(data, fingerprint);
  expect([found.fingerprint, found.val.length]).toEqual([fingerprint, 2]);
  expect((await opened(data, null)).val.length).toBe(2);
  expect((await opened(data, null)).train.length).toBe(4);
});

test('other data keeps the result and the errors of the present rules', async () => {
  const data = await images(...BASE, 'train/a/2.gif');
  const { fingerprint, train } = await opened(data, 'of other data');
  expect(train.length).toBe(3);
  expect(fingerprint).toBe((await opened(data, null)).fingerprint);
  const two = await images(...BASE, 'valid/a/1.png');
  await expect(opened(two, 'of other data')).rejects.toThrow(/"val", "valid"/);
});
