/**
 * Holds: inputs are used, refused or named. Whole commands that run in the data folder: their own run folder, and those
 * of earlier runs, are not classes.
 */

import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { listFolder } from '../../src/data/folders/walk-images.js';
import { imageFolders, writeTree } from '../support/file-tree.js';
import { TINY } from '../support/paths.js';
import { call } from '../support/run-process.js';
import { coloured } from '../support/tiny-network.js';

let top: string;
let count = 0;
beforeAll(async () => {
  top = await mkdtemp(path.join(tmpdir(), 'run-in-data-'));
});
afterAll(async () => {
  await rm(top, { recursive: true });
});

async function images(...folders: string[]): Promise<string> {
  const files: Record<string, Uint8Array> = {};
  for (const [label, folder] of folders.entries()) {
    for (const i of [0, 1]) {
      files[`${folder}/${i}.png`] = await coloured(label % 3, 10 * count + i, 32);
    }
  }
  return writeTree(path.join(top, `data-${count++}`), files);
}

const SPLITS = ['train/cat', 'train/dog', 'val/cat', 'val/dog'];
const SETTINGS = ['--artifacts', TINY, '--weights', 'random', '--device', 'cpu', '--workers', '1'];

test.each<[string, string[], string[], string, string]>([
  ['class folders, no --out', ['cat', 'dog'], [], 'runs/train-1', '"runs/"'],
  ['--out beside the classes', ['cat', 'dog'], ['--out', 'my'], 'my', '"my/"'],
  ['--out below a new folder', ['cat', 'dog'], ['--out', 'a/b/my'], 'a/b/my', '"a/"'],
  ['--out in train', SPLITS, ['--out', 'train/my'], 'train/my', '"train/my/"'],
  ['split folders, no --out', SPLITS, [], 'runs/train-1', '"runs/"'],
])('%s', async (_, folders, out, runDir, named) => {
  const cwd = await images(...folders);
  const words = ['train', '--data', '.', '--epochs', '1', ...SETTINGS, ...out];
  const cache = path.join(top, 'cache');
  const { code, stdout } = await call(words, { cwd, env: { ORT_FINETUNE_CACHE: cache } });
  expect(stdout).toContain(`1 folder of runs is left out: ${named}\n`);
  expect(code).toBe(0);
  const config = await readFile(path.join(cwd, runDir, 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ classes: ['cat', 'dog'] });
  expect(await readdir(path.join(cwd, runDir))).toContain('report.html');
});

test('a second run in the data, and evaluate', async () => {
  const cwd = await images('cat', 'dog');
  const env = { ORT_FINETUNE_CACHE: path.join(top, 'cache') };
  for (const run of [1, 2]) {
    const words = ['train', '--data', '.', '--epochs', '1', ...SETTINGS];
    expect([run, (await call(words, { cwd, env })).code]).toEqual([run, 0]);
  }
  const words = ['evaluate', '--run', 'runs/train-2', '--data', '.', '--workers', '1'];
  const { code, stderr } = await call(words, { cwd, env });
  expect([code, stderr]).toEqual([0, expect.stringContaining('"runs/"')]);
});

test.each<[string, string[], boolean]>([
  ['a lock alone', ['x/run.lock'], true],
  ['a lock that is being made', ['x/.run.lock-12'], true],
  ['an ended run', ['x/config.json', 'x/checkpoints/'], true],
  ['several runs', ['x/a/run.lock', 'x/b/config.json', 'x/b/checkpoints/'], true],
  ['images beside a lock', ['x/run.lock', 'x/a.jpg'], false],
  ['settings alone', ['x/config.json', 'x/y/a.jpg'], false],
  ['runs beside another folder', ['x/a/run.lock', 'x/y/a.jpg'], false],
])('%s', async (_, files, isRun) => {
  const dir = await imageFolders(path.join(top, `unit-${count++}`), ['cat', 'dog']);
  await mkdir(path.join(dir, 'x'));
  await writeTree(dir, files);
  const { leftOut } = await listFolder(dir);
  expect(leftOut).toEqual(isRun ? [{ path: path.join(dir, 'x') + path.sep, reason: 'run' }] : []);
});
